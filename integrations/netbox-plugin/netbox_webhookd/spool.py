"""Batches that wait on disk, one file each, for all processes of one NetBox together.

<spool_dir>/queue/<time>-<pid>-<number>-<events>-<bytes>.batch     waits, in the order of its name
<spool_dir>/rejected/…                                            refused for good; the first line says why
<spool_dir>/tmp/…                                                 being written
<spool_dir>/lock                                                  held by the one process that drains
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import json
import os
import time
from typing import Iterator, NamedTuple, Sequence

from .batch import Event, from_lines, to_lines

SUFFIX = ".batch"
# How long another process's files may go unseen in the account of bytes.
ACCOUNT_SECONDS = 5.0
# What a file takes of a disk at least.
BLOCK = 4096
LEFTOVER_SECONDS = 3600.0


class SpoolFull(Exception):
    pass


class Waiting(NamedTuple):
    """A file, and what its name tells of it."""

    name: str
    events: int
    size: int


class Folder:
    """Files ordered by name, bounded in bytes."""

    def __init__(self, root: str, name: str, max_bytes: int):
        self.path = os.path.join(root, name)
        self.max_bytes = max_bytes
        self.used = 0
        self.counted_at: float | None = None

    def is_empty(self) -> bool:
        try:
            with os.scandir(self.path) as entries:
                return not any(entry.name.endswith(SUFFIX) for entry in entries)
        except FileNotFoundError:
            return True

    def waiting(self) -> list[Waiting]:
        """Oldest first. Other files in the directory are not ours."""
        try:
            names = sorted(name for name in os.listdir(self.path) if name.endswith(SUFFIX))
        except FileNotFoundError:
            return []
        return [found for found in map(_parse, names) if found]

    def make_room(self, size: int) -> None:
        """Raises SpoolFull. Sizes are in the names: counting a long queue opens no file."""
        now = time.monotonic()
        if self.counted_at is None or now - self.counted_at > ACCOUNT_SECONDS:
            self.used = sum(_on_disk(found.size) for found in self.waiting())
            self.counted_at = now
        if self.used + _on_disk(size) > self.max_bytes:
            raise SpoolFull(f"{self.path} is full ({self.used} of {self.max_bytes} bytes)")
        self.used += _on_disk(size)


class Spool:
    def __init__(self, root: str, max_bytes: int, fsync: bool):
        self.root = root
        self.fsync = fsync
        self.queue = Folder(root, "queue", max_bytes)
        self.rejected = Folder(root, "rejected", max_bytes)
        self.numbers = itertools.count()
        self.last_time = 0

    def now(self) -> int:
        """The place of a batch in the queue. A clock put back must not put it before this process's earlier ones."""
        self.last_time = max(time.time_ns(), self.last_time + 1)
        return self.last_time

    def append(self, events: Sequence[Event], born: int) -> None:
        """Into the queue, behind what was born before. Raises SpoolFull or OSError."""
        self._write(self.queue, self._name(events, born), to_lines(events))

    def reject(self, events: Sequence[Event], reason: str) -> None:
        """Beside the queue, with the reason. Raises SpoolFull or OSError."""
        text = json.dumps({"rejected": reason}).encode("ascii") + b"\n" + to_lines(events)
        self._write(self.rejected, self._name(events, self.now()), text)

    def reject_file(self, waiting: Waiting) -> None:
        """One that cannot be read, as it is."""
        os.makedirs(self.rejected.path, mode=0o700, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            os.rename(os.path.join(self.queue.path, waiting.name), os.path.join(self.rejected.path, waiting.name))

    def load(self, waiting: Waiting) -> list[Event] | None:
        """None if it is gone. Raises ValueError if it is damaged."""
        try:
            with open(os.path.join(self.queue.path, waiting.name), "rb") as file:
                return from_lines(file.read())
        except FileNotFoundError:
            return None

    def remove(self, waiting: Waiting) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(self.queue.path, waiting.name))
            self.queue.used -= _on_disk(waiting.size)

    def requeue(self) -> int:
        """Puts what was rejected back into the queue, where its name belongs; returns how many files."""
        count = 0
        for waiting in self.rejected.waiting():
            path = os.path.join(self.rejected.path, waiting.name)
            with open(path, "rb") as file:
                text = file.read()
            first, _, rest = text.partition(b"\n")
            if first.startswith(b'{"rejected"'):
                self._write(self.queue, waiting.name, rest)
                os.unlink(path)
                count += 1
        return count

    def tidy(self) -> None:
        """Files half written by processes that died."""
        tmp = os.path.join(self.root, "tmp")
        with contextlib.suppress(FileNotFoundError):
            for entry in os.scandir(tmp):
                if time.time() - entry.stat().st_mtime > LEFTOVER_SECONDS:
                    os.unlink(entry.path)

    @contextlib.contextmanager
    def lock(self, seconds: float = 0.0) -> Iterator[bool]:
        """Whether this is now the only one that drains. Another thread of this process counts as another."""
        with open(os.path.join(self.root, "lock"), "wb") as file:
            yield _lock(file, time.monotonic() + seconds)

    def _name(self, events: Sequence[Event], born: int) -> str:
        size = sum(len(event.id) + len(event.body) + 2 for event in events)
        return f"{born:020d}-{os.getpid()}-{next(self.numbers):08d}-{len(events)}-{size}{SUFFIX}"

    def _write(self, folder: Folder, name: str, text: bytes) -> None:
        tmp = os.path.join(self.root, "tmp")
        for path in (tmp, folder.path):
            os.makedirs(path, mode=0o700, exist_ok=True)
        folder.make_room(len(text))
        draft = os.path.join(tmp, name)
        try:
            with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(text)
                if self.fsync:
                    file.flush()
                    os.fsync(file.fileno())
            os.rename(draft, os.path.join(folder.path, name))
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(draft)
            raise
        if self.fsync:
            _fsync_directory(folder.path)


def _parse(name: str) -> Waiting | None:
    parts = name[: -len(SUFFIX)].split("-")
    if len(parts) != 5 or not all(part.isdecimal() for part in parts):
        return None
    return Waiting(name, int(parts[3]), int(parts[4]))


def _on_disk(size: int) -> int:
    return max(BLOCK, size)


def _lock(file: object, deadline: float) -> bool:
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.05)


def _fsync_directory(path: str) -> None:
    directory = os.open(path, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
