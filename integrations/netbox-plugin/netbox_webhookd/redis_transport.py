"""Events as entries of a Redis stream, all of a batch in one transaction."""

from __future__ import annotations

from typing import Any, Mapping, Sequence

import redis
from django.core.exceptions import ImproperlyConfigured
from redis.backoff import NoBackoff
from redis.retry import Retry

from .batch import Event
from .settings import Settings
from .transport import Unavailable


class RedisTransport:
    """The client's pool serves all threads, and makes new connections after a fork."""

    def __init__(self, settings: Settings, options: Mapping[str, Any]):
        if options.get("SENTINELS"):
            raise ImproperlyConfigured(
                "netbox_webhookd: Redis Sentinel is not supported; give HOST and PORT in 'redis'"
            )
        self.stream = settings.stream
        self.client = _client(settings, options)

    def send(self, events: Sequence[Event], seconds: float) -> None:
        """Each read and write may take `timeout`, whatever `seconds`: Redis answers a batch at once or not at all."""
        try:
            with self.client.pipeline(transaction=True) as pipeline:
                for event in events:
                    pipeline.xadd(self.stream, {"id": event.id, "event": event.body})
                pipeline.execute()
        except (redis.RedisError, OSError) as error:
            # Also what Redis answers (out of memory, read-only, no permission): all of it can be put right.
            raise Unavailable(f"{type(error).__name__}: {error}") from error


def _client(settings: Settings, options: Mapping[str, Any]) -> redis.Redis:
    common = {
        "socket_timeout": settings.timeout,
        "socket_connect_timeout": settings.connect_timeout,
        # A retry inside the client would multiply the timeout; the spool is our retry.
        "retry": Retry(NoBackoff(), 0),
    }
    if options.get("USERNAME"):
        common["username"] = options["USERNAME"]
    if options.get("PASSWORD"):
        common["password"] = options["PASSWORD"]
    if options.get("SSL") or str(options.get("URL", "")).startswith("rediss:"):
        common["ssl_cert_reqs"] = "none" if options.get("INSECURE_SKIP_TLS_VERIFY") else "required"
        if options.get("CA_CERT_PATH"):
            common["ssl_ca_certs"] = options["CA_CERT_PATH"]
    if options.get("URL"):
        return redis.Redis.from_url(options["URL"], **common)
    return redis.Redis(
        host=options.get("HOST", "localhost"),
        port=options.get("PORT", 6379),
        db=options.get("DATABASE", 0),
        ssl=bool(options.get("SSL")),
        **common,
    )
