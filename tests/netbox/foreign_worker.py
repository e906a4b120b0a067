"""A worker that knows no rq: the Redis commands a program in another language sends, and nothing else.

`test_contract.py` lets the real rq and django-rq judge what it leaves behind.
"""

import base64
import json
import pickle
import time
import uuid
import zlib
from datetime import datetime, timezone

WORKER_TTL_SECONDS = 480
STARTED_TTL_SECONDS = 90
FINISHED_TTL_SECONDS = 500
FAILED_TTL_SECONDS = 31_536_000


def now_text():
    """RQ's only date format: UTC, one to six decimals, a literal Z."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class ForeignWorker:
    """One registered worker holding any number of jobs."""

    def __init__(self, redis, queue, name="foreign"):
        self.redis = redis
        self.queue = queue
        self.name = name
        self.key = f"rq:worker:{name}"
        self.held = {}

    def register(self):
        now = now_text()
        fields = {"birth": now, "last_heartbeat": now, "queues": self.queue, "state": "busy", "pid": 4711}
        with self.redis.pipeline() as commands:
            commands.delete(self.key)
            commands.hset(self.key, mapping=fields)
            commands.expire(self.key, WORKER_TTL_SECONDS)
            commands.sadd("rq:workers", self.key)
            commands.sadd(f"rq:workers:{self.queue}", self.key)
            commands.execute()

    def unregister(self):
        with self.redis.pipeline() as commands:
            commands.srem("rq:workers", self.key)
            commands.srem(f"rq:workers:{self.queue}", self.key)
            commands.hset(self.key, "death", now_text())
            commands.expire(self.key, 60)
            commands.execute()

    def move(self):
        """The first half of taking: from here on the job is in the intermediate list only."""
        moved = self.redis.lmove(f"rq:queue:{self.queue}", f"rq:queue:{self.queue}:intermediate", "LEFT", "RIGHT")
        return moved.decode()

    def take(self, ttl=STARTED_TTL_SECONDS, executions=True):
        job = self.move()
        self.start(job, ttl, executions)
        return job

    def start(self, job, ttl=STARTED_TTL_SECONDS, executions=True):
        execution = uuid.uuid4().hex
        now = time.time()
        self.held[job] = execution
        with self.redis.pipeline() as commands:
            if executions:
                fields = {"id": execution, "created_at": now, "last_heartbeat": now}
                commands.hset(f"rq:execution:{job}:{execution}", mapping=fields)
                commands.zadd(f"rq:executions:{job}", {execution: int(now + ttl + 60)})
            commands.zadd(f"rq:wip:{self.queue}", {f"{job}:{execution}": int(now + ttl)})
            # A requeued job still carries the life time of its last end.
            commands.persist(f"rq:job:{job}")
            fields = {"status": "started", "started_at": now_text(), "worker_name": self.name}
            commands.hset(f"rq:job:{job}", mapping=fields | {"last_heartbeat": fields["started_at"]})
            # "Enqueue" on the page leaves the job in these.
            commands.zrem(f"rq:deferred:{self.queue}", job)
            commands.zrem(f"rq:finished:{self.queue}", job)
            commands.lrem(f"rq:queue:{self.queue}:intermediate", 1, job)
            commands.delete(f"rq:queue:{self.queue}:intermediate:first_seen:{job}")
            commands.execute()

    def heartbeat(self, ttl=STARTED_TTL_SECONDS):
        now = time.time()
        with self.redis.pipeline() as commands:
            commands.expire(self.key, WORKER_TTL_SECONDS)
            commands.hset(self.key, "last_heartbeat", now_text())
            for job, execution in self.held.items():
                # XX: a job deleted on the page must not come back.
                commands.zadd(f"rq:wip:{self.queue}", {f"{job}:{execution}": int(now + ttl)}, xx=True)
                commands.zadd(f"rq:executions:{job}", {execution: int(now + ttl + 60)}, xx=True)
            commands.execute()

    def finish(self, job, text):
        result = {"type": 1, "worker_name": self.name, "return_value": base64.b64encode(pickle_text(text))}
        self._end(job, "finished", FINISHED_TTL_SECONDS, result, {}, "successful_job_count")

    def fail(self, job, text):
        result = {"type": 2, "worker_name": self.name, "exc_string": base64.b64encode(zlib.compress(text.encode()))}
        # The page shows an exception only if the hash has this field; plain text will do.
        self._end(job, "failed", FAILED_TTL_SECONDS, result, {"exc_info": text}, "failed_job_count")

    def _end(self, job, status, ttl, result, fields, counter):
        execution = self.held.pop(job)
        with self.redis.pipeline() as commands:
            commands.hset(f"rq:job:{job}", mapping={"status": status, "ended_at": now_text()} | fields)
            commands.expire(f"rq:job:{job}", ttl)
            commands.xadd(f"rq:results:{job}", result, maxlen=10)
            commands.expire(f"rq:results:{job}", ttl)
            commands.zadd(f"rq:{status}:{self.queue}", {job: int(time.time()) + ttl})
            commands.zrem(f"rq:wip:{self.queue}", f"{job}:{execution}")
            commands.delete(f"rq:execution:{job}:{execution}", f"rq:executions:{job}")
            commands.hincrby(self.key, counter, 1)
            commands.execute()

    def defer(self, job, text):
        """Shows a job as waiting, for as long as it takes."""
        execution = self.held[job]
        meta = {"waiting": text}
        with self.redis.pipeline() as commands:
            commands.hset(f"rq:job:{job}", mapping={"status": "deferred", "meta": pickle.dumps(meta)})
            commands.zadd(f"rq:deferred:{self.queue}", {job: "+inf"})
            commands.zrem(f"rq:wip:{self.queue}", f"{job}:{execution}")
            commands.delete(f"rq:execution:{job}:{execution}", f"rq:executions:{job}")
            commands.execute()

    def commands(self):
        """A subscription to what the page's buttons send to this worker."""
        subscription = self.redis.pubsub(ignore_subscribe_messages=True)
        subscription.subscribe(f"rq:pubsub:{self.name}")
        # The confirmation, so that nothing published from now on is missed.
        subscription.get_message(timeout=10)
        return subscription


def next_command(subscription):
    message = subscription.get_message(timeout=10)
    return json.loads(message["data"])


def pickle_text(text):
    """A text as the shortest pickle: protocol 2, BINUNICODE, STOP."""
    raw = text.encode()
    return b"\x80\x02X" + len(raw).to_bytes(4, "little") + raw + b"."
