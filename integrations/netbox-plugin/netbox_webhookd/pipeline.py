"""The function NetBox calls with each request's events, named in EVENTS_PIPELINE."""

from __future__ import annotations

import functools
import logging
from typing import Any, Iterable

from django.conf import settings as django_settings

from . import batch
from .forwarder import current
from .phantoms import without_phantoms
from .settings import Settings

logger = logging.getLogger("netbox.plugins.netbox_webhookd")


def forward_events(events: Iterable[Any]) -> None:
    """Never raises: an exception here would be an HTTP 500 for a change that is committed."""
    try:
        settings = _settings()
        queue = [q for q in events if batch.event_type(q) and settings.wants(batch.label(q))]
        if queue and settings.drop_phantoms:
            queue = without_phantoms(queue)
        # Phantoms go first: serialising the object of a rolled-back change may fail.
        encoded = batch.encode(queue)
        if encoded:
            current.get(settings).forward(encoded)
    except Exception:
        logger.exception("events are not forwarded to netbox-webhookd")


@functools.lru_cache(maxsize=1)
def _settings() -> Settings:
    return Settings.read(django_settings.PLUGINS_CONFIG["netbox_webhookd"])
