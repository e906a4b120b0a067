"""Puts webhook jobs on a queue through rq itself: built ones, or captured pickles."""

import base64
import json
import os
import sys
import zlib
from pathlib import Path

from rq import Queue, Retry

PROJECT = Path(__file__).resolve().parent / "minimal_netbox"
DEFAULT_TIMEOUT_SECONDS = 300
PIPELINE_JOBS = 500


def enqueue(redis, args):
    """Enqueues with rq's own `Queue`, in the order of the printed ids."""
    queue = queue_of(redis, args.queue)
    make = fixture_maker(args) if args.fixture else built_maker(args)
    count = args.count or max(1, len(args.fixture))
    ids = []
    for first in range(args.start, args.start + count, PIPELINE_JOBS):
        with redis.pipeline() as pipeline:
            for number in range(first, min(first + PIPELINE_JOBS, args.start + count)):
                ids.append(make(queue, number, pipeline).id)
            pipeline.execute()
    return {"queue": queue.name, "ids": ids}


def built_maker(args):
    """Jobs about made-up sites, see netbox_jobs.py."""
    set_up_django(args, args.queue)
    import netbox_jobs

    def make(queue, number, pipeline):
        kwargs = netbox_jobs.webhook_job(args.webhook_id, args.event, number, args.objects)
        return queue.enqueue(netbox_jobs.FUNCTION, retry=retry_of(args), pipeline=pipeline, **kwargs)

    return make


def fixture_maker(args):
    """Jobs with the pickle of a captured one (`*.data.pickle` or `*.job.json`), otherwise new."""
    captured = [read_fixture(Path(path)) for path in args.fixture]

    def make(queue, number, pipeline):
        pickle, description = captured[number % len(captured)]
        job = queue.create_job("extras.webhooks.send_webhook", description=description, retry=retry_of(args))
        job.data = pickle
        return queue.enqueue_job(job, pipeline=pipeline)

    return make


def read_fixture(path):
    if path.suffix != ".json":
        return path.read_bytes(), "extras.webhooks.send_webhook()"
    fields = json.loads(path.read_text())["fields"]
    return zlib.decompress(base64.b64decode(fields["data"]["base64_zlib_pickle"])), fields["description"]


def retry_of(args):
    """As NetBox's get_rq_retry(): none unless RQ_RETRY_MAX is set."""
    return Retry(max=args.retry, interval=args.retry_interval) if args.retry else None


def set_up_django(args, queue):
    """Loads the minimal NetBox; about half a second, so only where pickles or django-rq need it."""
    os.environ.update(project_environment(args, queue))
    sys.path.insert(0, str(PROJECT))
    import django

    django.setup()


def project_environment(args, queue):
    """What `minimal_settings` reads."""
    return {
        "DJANGO_SETTINGS_MODULE": "minimal_settings",
        "RQ_SIDE_REDIS": args.redis,
        "RQ_SIDE_QUEUES": queue,
    }


def queue_of(redis, name):
    return Queue(name, connection=redis, default_timeout=DEFAULT_TIMEOUT_SECONDS)
