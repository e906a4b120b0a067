"""NetBox's queued events, made into the events netbox-webhookd takes."""

from __future__ import annotations

import json
import logging
import uuid
from typing import Any, Iterable, Iterator, NamedTuple, Sequence

from django.utils import timezone
from rest_framework.utils.encoders import JSONEncoder

from .settings import MIB

logger = logging.getLogger("netbox.plugins.netbox_webhookd")

# One request to netbox-webhookd; its own defaults are 10,000 events and 64 MiB.
MAX_EVENTS = 5_000
MAX_BYTES = 32 * MIB

# `object_created` since NetBox 4.1, `create` before.
_EVENTS = {
    "object_created": "created",
    "object_updated": "updated",
    "object_deleted": "deleted",
    "create": "created",
    "update": "updated",
    "delete": "deleted",
}


class Event(NamedTuple):
    """One event as it travels: its idempotency key, and its JSON text on one line."""

    id: str
    body: bytes


def event_type(queued: Any) -> str | None:
    """`created`, `updated` or `deleted`; None for what plugins define themselves."""
    return _EVENTS.get(queued.get("event_type") or queued.get("event"))


def object_type(queued: Any) -> Any:
    """The ObjectType (4.2 and later) or ContentType of the object; called `content_type` until 4.0."""
    return queued.get("object_type") or queued["content_type"]


def label(queued: Any) -> str:
    kind = object_type(queued)
    return f"{kind.app_label}.{kind.model}"


def request_id(queued: Any) -> str | None:
    """From the request if there is one: 4.7 no longer has the key, before 4.4 there is no request."""
    request = queued.get("request")
    found = getattr(request, "id", None) or queued.get("request_id")
    return str(found) if found else None


def encode(queue: Iterable[Any]) -> list[Event]:
    """An event that cannot be written as JSON is logged and left out; the others go on."""
    batch = uuid.uuid4().hex
    timestamp = timezone.now().isoformat()
    encoder = JSONEncoder()
    events = []
    for number, queued in enumerate(queue):
        key = f"{batch}-{number}"
        try:
            # The defaults of json.dumps, as NetBox uses them: what webhooks carry stays the same to the byte.
            text = encoder.encode(_event(key, timestamp, queued))
        except Exception:
            logger.exception("event of %s %s cannot be serialised and is left out", label(queued), _pk(queued))
            continue
        events.append(Event(key, text.encode("utf-8")))
    return events


def _event(key: str, timestamp: str, queued: Any) -> dict[str, Any]:
    request = queued.get("request")
    user = getattr(request, "user", None)
    event = {
        "id": key,
        "event": event_type(queued),
        "timestamp": timestamp,
        "object_type": label(queued),
        "model": object_type(queued).model,
        "username": getattr(user, "username", None) or queued.get("username"),
        "request_id": request_id(queued),
        # By subscript: since 4.5.2 the object is serialised when this is read, and `get` would not do so.
        "data": queued["data"],
        "snapshots": queued.get("snapshots"),
    }
    if request is not None:
        event["request"] = {
            "id": event["request_id"],
            "method": request.method,
            "path": request.path,
            "user": str(user),
        }
    return event


def _pk(queued: Any) -> Any:
    return queued.get("object_id")


def chunks(events: Sequence[Event]) -> Iterator[list[Event]]:
    """In order, each at most MAX_EVENTS and MAX_BYTES; an event larger than that goes alone."""
    chunk: list[Event] = []
    size = 0
    for event in events:
        if chunk and (len(chunk) == MAX_EVENTS or size + len(event.body) > MAX_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(event)
        size += len(event.body) + 1
    if chunk:
        yield chunk


def as_array(events: Iterable[Event]) -> bytes:
    return b"[" + b",".join(event.body for event in events) + b"]"


def to_lines(events: Iterable[Event]) -> bytes:
    """How events wait on disk: `<key> <JSON>`, one a line (JSON as we write it has no line breaks)."""
    return b"".join(b"%s %s\n" % (event.id.encode("ascii"), event.body) for event in events)


def from_lines(text: bytes) -> list[Event]:
    """Raises ValueError for anything else than whole lines of `to_lines`."""
    if not text.endswith(b"\n"):
        raise ValueError("empty, or its last line is cut off")
    events = []
    for line in text[:-1].split(b"\n"):
        key, _, body = line.partition(b" ")
        if not key or not body.startswith(b"{"):
            raise ValueError("a line is not an event")
        events.append(Event(key.decode("ascii"), body))
    return events


def model_of(event: Event) -> str:
    return str(json.loads(event.body).get("object_type"))
