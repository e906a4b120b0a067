"""Decides where a batch goes: to netbox-webhookd now, or to the spool until it can be reached."""

from __future__ import annotations

import logging
import math
import os
import threading
from collections import deque
from typing import NamedTuple, Sequence

from .batch import Event, chunks
from .circuit import Circuit
from .delivery import Rejected, deliver
from .settings import MIB, Settings
from .spool import Spool, SpoolFull, Waiting
from .transport import Transport, Unavailable, transport_of

logger = logging.getLogger("netbox.plugins.netbox_webhookd")

# `timeout` is meant for one request of this size; a larger one gets as many times as much.
TIMEOUT_EVENTS = 1_000
TIMEOUT_BYTES = 4 * MIB


class Limits(NamedTuple):
    """How much one drain may do."""

    groups: int
    events: int
    size: int
    seconds: float
    lock_seconds: float


class Drained(NamedTuple):
    sent: int = 0
    rejected: int = 0
    problem: str | None = None


class Forwarder:
    """One for all threads of a process."""

    def __init__(self, settings: Settings, transport: Transport | None = None):
        self.timeout = settings.timeout
        self.transport = transport or transport_of(settings)
        self.spool = Spool(settings.spool_dir, settings.spool_max_bytes, settings.spool_fsync)
        self.circuit = Circuit(settings.spool_dir, settings.retry_after)

    def forward(self, events: Sequence[Event]) -> None:
        """Within one timeout for up to 1,000 events. While older batches wait, new ones queue up behind them."""
        born = self.spool.now()
        rest: deque[list[Event]] = deque(chunks(events))
        backlog = self._has_backlog()
        try:
            while rest and not backlog and not self.circuit.is_open() and self._send(rest[0]):
                rest.popleft()
        finally:
            # Also when the server stops this request: what is not sent is not lost.
            for chunk in rest:
                self._keep(chunk, born)
        if backlog and not self.circuit.is_open():
            self.drain(Limits(groups=1, events=1_000, size=4 * MIB, seconds=self.timeout, lock_seconds=0))

    def _has_backlog(self) -> bool:
        try:
            return not self.spool.queue.is_empty()
        except OSError as error:
            # Not ours to read: what can be sent is sent all the same.
            logger.error("the spool cannot be read: %s", error)
            return False

    def drain(self, limits: Limits) -> Drained:
        """Oldest first, several files in one request. Stops at the first failure."""
        if self.spool.queue.is_empty():
            return Drained()
        with self.spool.lock(limits.lock_seconds) as locked:
            if not locked:
                return Drained(problem="another process is draining the spool")
            return self._drain(limits)

    def _drain(self, limits: Limits) -> Drained:
        sent = rejected = 0
        waiting = deque(self.spool.queue.waiting())
        for _ in range(limits.groups):
            files = self._group(waiting, limits)
            if not files:
                break
            events = [event for _, loaded in files for event in loaded]
            try:
                refused = deliver(self.transport, events, _scaled(limits.seconds, events))
            except Unavailable as error:
                self._trip(error, f"{len(waiting) + len(files)} batches wait in the spool")
                return Drained(sent, rejected, str(error))
            self._recovered()
            self._set_aside(refused)
            for file, _ in files:
                self.spool.remove(file)
            out = sum(len(part.events) for part in refused)
            sent, rejected = sent + len(events) - out, rejected + out
        return Drained(sent, rejected)

    def _group(self, waiting: deque[Waiting], limits: Limits) -> list:
        """The next files that fit into one request, at least one, with their events."""
        files: list = []
        events = size = 0
        while waiting:
            file = waiting[0]
            if files and (events + file.events > limits.events or size + file.size > limits.size):
                break
            waiting.popleft()
            try:
                loaded = self.spool.load(file)
            except ValueError as error:
                logger.error(
                    "the spooled batch %s is damaged (%s), moved to %s", file.name, error, self.spool.rejected.path
                )
                self.spool.reject_file(file)
                continue
            if loaded:
                files.append((file, loaded))
                events, size = events + file.events, size + file.size
        return files

    def _send(self, chunk: list[Event]) -> bool:
        try:
            refused = deliver(self.transport, chunk, _scaled(self.timeout, chunk))
        except Unavailable as error:
            self._trip(error, "events go to the spool")
            return False
        self._recovered()
        self._set_aside(refused)
        return True

    def _keep(self, chunk: list[Event], born: int) -> None:
        try:
            self.spool.append(chunk, born)
        except (SpoolFull, OSError) as error:
            logger.error(
                "%d events are lost: netbox-webhookd cannot be reached and the spool cannot take them: %s",
                len(chunk),
                error,
            )

    def _set_aside(self, refused: list[Rejected]) -> None:
        for events, reason in refused:
            try:
                self.spool.reject(events, reason)
                where = self.spool.rejected.path
            except (SpoolFull, OSError) as error:
                where = f"nowhere: {error}"
            logger.error("netbox-webhookd refused %d events (%s), kept in %s", len(events), reason, where)

    def _trip(self, error: Unavailable, what: str) -> None:
        self.circuit.trip()
        logger.warning("netbox-webhookd cannot take events (%s), %s", error, what)

    def _recovered(self) -> None:
        if self.circuit.reset():
            logger.info("netbox-webhookd takes events again")


def _scaled(seconds: float, events: Sequence[Event]) -> float:
    size = sum(len(event.body) for event in events)
    return seconds * max(1, math.ceil(len(events) / TIMEOUT_EVENTS), math.ceil(size / TIMEOUT_BYTES))


class _Current:
    """This process's forwarder: made at first use, anew after a fork."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.pid: int | None = None
        self.forwarder: Forwarder | None = None

    def get(self, settings: Settings) -> Forwarder:
        with self.lock:
            if self.forwarder is None or self.pid != os.getpid():
                self.forwarder, self.pid = Forwarder(settings), os.getpid()
            return self.forwarder


current = _Current()
