"""Runs and measures NetBox's own worker: `manage.py rqworker --burst`, Django set up once per worker."""

import os
import resource
import subprocess
import sys
import time

from rq.job import Job, JobStatus
from rq_enqueue import PROJECT


def run_workers(environment, args):
    """Ends when every worker found the queue empty; a worker still running after `--timeout` is killed."""
    environment = os.environ | environment | {"RQ_SIDE_URL": args.url, "RQ_SIDE_SECRET": args.secret}
    call = [sys.executable, str(PROJECT / "manage.py"), "rqworker", "--burst", args.queue]
    started = time.monotonic()
    workers = [
        subprocess.Popen(call, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for _ in range(args.workers)
    ]
    try:
        ends = [worker.communicate(timeout=args.timeout)[1] for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    return {
        "exit_codes": [worker.returncode for worker in workers],
        "wall_seconds": round(time.monotonic() - started, 3),
        "log_tail": [text[-2000:] for text in ends],
    }


def measure(redis, ids, environment, args):
    """Jobs per second from the first job's start to the last one's end, both as RQ recorded them.

    Start-up of the worker is outside that span; CPU seconds are those of workers and their forks, start-up included.
    """
    run = run_workers(environment, args)
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    # RQ keeps finished jobs for 500 s: beyond some 5,000 jobs per worker the first ones are gone here.
    jobs = [found for found in Job.fetch_many(ids, connection=redis) if found]
    statuses = [found.get_status(refresh=False) for found in jobs]
    if len(jobs) < len(ids) or any(status != JobStatus.FINISHED for status in statuses):
        raise RuntimeError(f"{statuses.count(JobStatus.FINISHED)} of {len(ids)} jobs finished: {run['log_tail']}")
    span = (max(found.ended_at for found in jobs) - min(found.started_at for found in jobs)).total_seconds()
    return {
        "jobs": len(ids),
        "workers": args.workers,
        "seconds": round(span, 3),
        "jobs_per_second": round(len(ids) / span, 2),
        "wall_seconds": run["wall_seconds"],
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 2),
        "job_bytes": len(jobs[0].data),
    }
