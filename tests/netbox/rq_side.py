#!/usr/bin/env python3
"""RQ's side of the queue takeover: real jobs in, and what RQ itself makes of the result.

One command per process, one JSON document on standard output. Everything is read and written through rq 2.6 and
django-rq 3.2, the releases NetBox 4.4 runs; the page actions make the same calls as NetBox (core/utils.py,
core/views.py). A failing command prints {"error": CLASS, "message": TEXT} and ends with status 1, where NetBox would
answer with an error page.
"""

import argparse
import json
import logging
import os
import sys
import warnings
from datetime import datetime, timedelta

from redis import Redis
from rq import Worker
from rq.command import send_stop_job_command
from rq.job import Job, JobStatus
from rq.queue import IntermediateQueue
from rq.registry import (
    CanceledJobRegistry,
    DeferredJobRegistry,
    FailedJobRegistry,
    FinishedJobRegistry,
    ScheduledJobRegistry,
    StartedJobRegistry,
)
from rq_enqueue import enqueue, project_environment, queue_of, set_up_django

REGISTRIES = {
    "started": StartedJobRegistry,
    "finished": FinishedJobRegistry,
    "failed": FailedJobRegistry,
    "deferred": DeferredJobRegistry,
    "scheduled": ScheduledJobRegistry,
    "canceled": CanceledJobRegistry,
}


def plain(value):
    """JSON for what rq returns: dates as ISO 8601, bytes as text, anything else as its text."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value)


# --- what RQ says ------------------------------------------------------------------------------------------------


def registries(redis, args):
    """Reads without cleaning, so that looking changes nothing (NetBox's pages do clean, see `pages`)."""
    queue = queue_of(redis, args.queue)
    found = {name: kind(queue=queue).get_job_ids(cleanup=False) for name, kind in REGISTRIES.items()}
    intermediate = IntermediateQueue(queue.key, redis)
    return {
        "queued": queue.get_job_ids(),
        **found,
        "started_executions": executions(redis, queue),
        "intermediate": intermediate.get_job_ids(),
        "workers": [worker_fields(worker) for worker in Worker.all(connection=redis)],
        "workers_of_queue": sorted(worker.name for worker in Worker.all(queue=queue)),
    }


def executions(redis, queue):
    """Members of the started registry with the second at which RQ gives each up."""
    members = redis.zrange(StartedJobRegistry(queue=queue).key, 0, -1, withscores=True)
    rows = [(*member.decode().split(":"), score) for member, score in members]
    return [{"job": job, "execution": execution, "expires_at": str(score)} for job, execution, score in rows]


def worker_fields(worker):
    return {
        "name": worker.name,
        "state": worker.get_state(),
        "queues": worker.queue_names(),
        "hostname": worker.hostname,
        "ip_address": worker.ip_address,
        "pid": worker.pid,
        "version": worker.version,
        "python_version": worker.python_version,
        "birth": worker.birth_date,
        "last_heartbeat": worker.last_heartbeat,
        "successful_job_count": worker.successful_job_count,
        "failed_job_count": worker.failed_job_count,
        "total_working_time": worker.total_working_time,
        "current_job": worker.get_current_job_id(),
        "ttl": worker.connection.ttl(worker.key),
    }


def job(redis, args):
    """One job through rq's Job and Result; `exc_info_field` is what NetBox's page needs to show an exception."""
    found = Job.fetch(args.id, connection=redis)
    return {
        "id": found.id,
        "status": found.get_status(refresh=False).value,
        "origin": found.origin,
        "description": found.description,
        "created_at": found.created_at,
        "enqueued_at": found.enqueued_at,
        "started_at": found.started_at,
        "ended_at": found.ended_at,
        "last_heartbeat": found.last_heartbeat,
        "worker_name": found.worker_name,
        "timeout": found.timeout,
        "retries_left": found.retries_left,
        "retry_intervals": found.retry_intervals,
        "meta": found.meta,
        "position": found.get_position(),
        "executions": [execution.id for execution in found.get_executions()],
        "results": [result_fields(result) for result in found.results()],
        "result_field": found._result,
        "exc_info_field": found._exc_info,
        "ttl": redis.ttl(found.key),
        "results_ttl": redis.ttl(f"rq:results:{found.id}"),
    }


def result_fields(result):
    return {
        "type": result.type.name,
        "created_at": result.created_at,
        "return_value": result.return_value,
        "exc_string": result.exc_string,
        # Not kept before rq 2.5.
        "worker_name": getattr(result, "worker_name", None),
    }


def pages(redis, args):
    """NetBox's Background Tasks pages in one go, with their side effects: they clean registries on every view.

    Any exception here is a "server error" page there.
    """
    set_up_django(args, args.queue)
    from django_rq.queues import get_queue
    from django_rq.utils import get_jobs, get_statistics
    from rq.worker_registration import clean_worker_registry

    statistics = get_statistics(run_maintenance_tasks=True)["queues"][0]
    statistics.pop("connection_kwargs")
    queue = get_queue(args.queue)
    lists = {"queued": [page_row(found) for found in queue.get_jobs()]}
    for name in ("started", "finished", "failed", "deferred", "scheduled"):
        registry = REGISTRIES[name](queue.name, queue.connection)
        lists[name] = [page_row(found) for found in get_jobs(queue, registry.get_job_ids(), registry)]
    clean_worker_registry(queue)
    workers = [worker for worker in Worker.all(queue.connection) if queue.name in worker.queue_names()]
    shown = [worker_fields(worker) | {"current_job": worker.get_current_job()} for worker in workers]
    return {"queue": statistics, "tasks": lists, "workers": shown}


def page_row(found):
    """Fields of a task's list row, page and REST representation, which unpickles the arguments."""
    exception = found.exc_info if found._exc_info else None
    return {
        "id": found.id,
        "status": found.get_status().value,
        "callable": found.func_name,
        "arguments": sorted(found.kwargs),
        "worker_name": found.worker_name,
        "exception": exception,
        "result": found.result,
        "meta": found.meta,
    }


# --- what an administrator does on the page -------------------------------------------------------------------------


def requeue(redis, args):
    """The Requeue button: only for jobs of the failed registry, anything else is an error there as well."""
    found = Job.fetch(args.id, connection=redis)
    return changed(FailedJobRegistry(queue=queue_of(redis, found.origin)).requeue(found.id))


def delete(redis, args):
    """The Delete button, in any state."""
    found = Job.fetch(args.id, connection=redis)
    redis.lrem(queue_of(redis, found.origin).key, 0, found.id)
    found.delete()
    return {"id": found.id, "exists": Job.exists(found.id, redis)}


def stop(redis, args):
    """The Stop button: publishes to the worker named in the job; `stopped` false is "failed to stop" there."""
    try:
        send_stop_job_command(redis, args.id)
    except Exception as error:  # as django-rq's stop_jobs(), which swallows everything
        return {"id": args.id, "stopped": False, "message": str(error)}
    return {"id": args.id, "stopped": True}


def enqueue_job(redis, args):
    """The Enqueue button, shown for every job neither queued nor failed, in NetBox's order of calls.

    The status is read after it was set to queued, so the job stays in its old registry; so it does in NetBox.
    """
    found = Job.fetch(args.id, connection=redis)
    queue = queue_of(redis, found.origin)
    queue._enqueue_job(found)
    leaves = {
        JobStatus.DEFERRED: DeferredJobRegistry,
        JobStatus.FINISHED: FinishedJobRegistry,
        JobStatus.SCHEDULED: ScheduledJobRegistry,
    }
    if registry := leaves.get(found.get_status()):
        registry(queue.name, queue.connection).remove(found)
    return changed(found)


def changed(found):
    return {"id": found.id, "status": found.get_status().value, "enqueued_at": found.enqueued_at}


# --- what an rqworker does -----------------------------------------------------------------------------------------


def clean(redis, args):
    """The maintenance of an rqworker on this queue, as if `--ahead` seconds had passed."""
    import rq.intermediate_queue
    import rq.utils

    real = rq.utils.now
    rq.utils.now = rq.intermediate_queue.now = lambda: real() + timedelta(seconds=args.ahead)
    before = registries(redis, args)
    Worker([args.queue], connection=redis, prepare_for_work=False).clean_registries()
    after = registries(redis, args)
    moved = {name: [id for id in after[name] if id not in before[name]] for name in ("queued", "failed", "scheduled")}
    return {"moved_to": moved, "after": after}


def work(redis, args):
    """Runs NetBox's `manage.py rqworker --burst` until the queue is empty."""
    from rq_bench import run_workers

    return run_workers(project_environment(args, args.queue), args)


def bench(redis, args):
    """The yardstick: `--count` jobs through the real worker."""
    from rq_bench import measure

    ids = enqueue(redis, args)["ids"]
    return measure(redis, ids, project_environment(args, args.queue), args)


# --- command line --------------------------------------------------------------------------------------------------


def parser():
    top = argparse.ArgumentParser(description=__doc__)
    top.add_argument("--redis", default=os.environ.get("RQ_SIDE_REDIS"), help="redis://HOST:PORT/DB")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    for run in (enqueue, bench):
        add_enqueue(command(commands, run.__name__, run, "--queue"))
    commands.choices["bench"].set_defaults(count=300)
    for run in (job, requeue, delete, stop):
        command(commands, run.__name__, run).add_argument("id")
    command(commands, "enqueue-job", enqueue_job).add_argument("id")
    for run in (registries, pages):
        command(commands, run.__name__, run, "--queue")
    command(commands, "clean", clean, "--queue").add_argument("--ahead", type=float, default=0.0)
    command(commands, "work", work, "--queue")
    for name in ("work", "bench"):
        add_work(commands.choices[name])
    return top


def command(commands, name, run, *required):
    added = commands.add_parser(name, help=(run.__doc__ or "").splitlines()[0])
    # Accepted after the command as well; absent there, the value before it stays.
    added.add_argument("--redis", default=argparse.SUPPRESS)
    for option in required:
        added.add_argument(option, required=True)
    added.set_defaults(run=run)
    return added


def add_enqueue(added):
    added.add_argument("--count", type=int, default=0, help="default: 1, or one per fixture")
    added.add_argument("--webhook-id", type=int, default=1)
    added.add_argument("--event", default="object_updated")
    added.add_argument("--objects", type=int, default=1, help="different sites, taken in turn")
    added.add_argument("--start", type=int, default=0, help="number of the first job")
    added.add_argument("--retry", type=int, default=0, help="NetBox's RQ_RETRY_MAX")
    added.add_argument("--retry-interval", type=int, default=60, help="NetBox's RQ_RETRY_INTERVAL, seconds")
    added.add_argument("--fixture", action="append", default=[], help="*.data.pickle or *.job.json")


def add_work(added):
    added.add_argument("--url", required=True, help="receiver of the stub send_webhook")
    added.add_argument("--secret", default="")
    added.add_argument("--workers", type=int, default=1)
    added.add_argument("--timeout", type=float, default=600.0, help="seconds until the workers are ended")


def main():
    args = parser().parse_args()
    if not args.redis:
        sys.exit("--redis or RQ_SIDE_REDIS is needed")
    # rq logs a line per job it gives up, and warns of deprecated calls that NetBox makes.
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore", DeprecationWarning)
    try:
        answer, status = args.run(Redis.from_url(args.redis), args), 0
    except Exception as error:
        answer, status = {"error": type(error).__name__, "message": str(error)}, 1
    json.dump(answer, sys.stdout, default=plain)
    print()
    return status


if __name__ == "__main__":
    sys.exit(main())
