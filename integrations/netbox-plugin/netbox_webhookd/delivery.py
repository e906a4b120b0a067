"""Sends a batch, and sets aside those of its events that netbox-webhookd will never take.

It takes a batch whole or not at all. One event of a model it does not know must hold up neither the others of the
batch nor those that come after.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from typing import NamedTuple, Sequence

from .batch import Event, model_of
from .transport import Refused, Transport, Unavailable

# Requests for one batch. What has not been taken after so many answers is set aside as well.
MAX_SENDS = 64
# So often refused for one and the same reason, all of that model in this batch are.
MAX_REFUSALS_OF_A_MODEL = 3
# All requests of one batch together may take this many times the time of one: a receiver that answers but slowly
# must not hold up NetBox's user.
MAX_TIMES = 3


class Rejected(NamedTuple):
    events: list[Event]
    reason: str


def deliver(transport: Transport, batch: Sequence[Event], seconds: float) -> list[Rejected]:
    """Returns what was refused; the rest is taken. Raises Unavailable: then all of the batch is to be sent again.

    That repeats what was taken before it failed, harmlessly: every event has its own key.
    """
    parts, rejected = [list(batch)], []
    seen: Counter = Counter()
    end = time.monotonic() + MAX_TIMES * seconds
    for _ in range(MAX_SENDS):
        if not parts:
            return rejected
        left = end - time.monotonic()
        if left <= 0:
            raise Unavailable(f"answers too slowly: {MAX_TIMES * seconds} s were not enough for one batch")
        try:
            transport.send(parts[0], min(seconds, left))
            parts.pop(0)
        except Refused as refusal:
            parts[:1] = _apart(parts[0], refusal, rejected, seen)
    rest = [event for part in parts for event in part]
    return rejected + ([Rejected(rest, f"not taken after {MAX_SENDS} requests")] if rest else [])


def _apart(events: list[Event], refusal: Refused, rejected: list[Rejected], seen: Counter) -> list[list[Event]]:
    """The parts to try next, in order."""
    if len(events) == 1:
        rejected.append(Rejected(events, refusal.reason))
        return []
    if refusal.index is None or not 0 <= refusal.index < len(events):
        middle = len(events) // 2
        return [events[:middle], events[middle:]]
    bad = events[refusal.index]
    model, reason = model_of(bad), re.sub(r"event \d+", "event", refusal.reason)
    seen[model, reason] += 1
    if seen[model, reason] < MAX_REFUSALS_OF_A_MODEL:
        out, rest = [bad], events[: refusal.index] + events[refusal.index + 1 :]
    else:
        out = [event for event in events if model_of(event) == model]
        rest = [event for event in events if model_of(event) != model]
    rejected.append(Rejected(out, refusal.reason))
    return [rest] if rest else []
