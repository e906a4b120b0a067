"""What both transports have in common."""

from __future__ import annotations

from typing import Any, Protocol, Sequence

from .batch import Event
from .settings import Settings


class Unavailable(Exception):
    """Not taken now; the same events may be taken later."""


class Refused(Exception):
    """Never taken as they are. `index` is the place of the first bad one, None if the answer does not say."""

    def __init__(self, reason: str, index: int | None = None):
        super().__init__(reason)
        self.reason = reason
        self.index = index


class Transport(Protocol):
    def send(self, events: Sequence[Event], seconds: float) -> None:
        """Returns when all of them are taken, within `seconds`. Raises Unavailable or Refused."""


def transport_of(settings: Settings) -> Transport:
    if settings.transport == "redis":
        from .redis_transport import RedisTransport

        return RedisTransport(settings, _netbox_redis() if settings.redis is None else settings.redis)
    from .http_transport import HttpTransport

    return HttpTransport(settings)


def _netbox_redis() -> Any:
    from django.conf import settings as django_settings

    return django_settings.REDIS["tasks"]
