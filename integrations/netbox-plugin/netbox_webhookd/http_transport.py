"""Events as one POST to `/api/events/`, over a connection that each thread keeps."""

from __future__ import annotations

import http.client
import io
import json
import os
import select
import socket
import ssl
import threading
import time
from typing import Any, Sequence

from .batch import Event, as_array
from .settings import Settings
from .transport import Refused, Unavailable

# The answer to 5,000 events is below 1 MiB; more is not read, and the connection given up.
MAX_ANSWER = 2 * 1024 * 1024
# Refused for what they are. Not 404 or 405: a wrong address can be put right.
REFUSALS = (400, 409, 413, 422)
# How a connection ends that the other side closed while it was idle.
STALE = (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError, ConnectionAbortedError)


class _DeadlineReader(io.RawIOBase):
    """Reads a socket until a moment in time: a socket's own timeout starts anew with every byte that drips in."""

    def __init__(self, sock: socket.socket, deadline: float):
        self.sock = sock
        self.deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self.sock.settimeout(_left(self.deadline))
        return self.sock.recv_into(buffer)


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    return left


class HttpTransport:
    def __init__(self, settings: Settings):
        self.scheme, self.host, self.port, path = settings.events_url
        self.connect_timeout = settings.connect_timeout
        # Written by hand: http.client takes longer to put the same lines together than the network to carry them.
        host = f"[{self.host}]" if ":" in self.host else self.host
        self.head = (
            f"POST {path} HTTP/1.1\r\nHost: {host}:{self.port}\r\nAuthorization: Token {settings.token}\r\n"
            "Content-Type: application/json\r\nUser-Agent: netbox-webhookd-plugin\r\n"
        )
        self.tls = ssl.create_default_context(cafile=settings.ca_cert_path or None) if self.scheme == "https" else None
        self.local = threading.local()

    def send(self, events: Sequence[Event], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        body = as_array(events)
        head = f"{self.head}Idempotency-Key: {events[0].id}\r\nContent-Length: {len(body)}\r\n\r\n"
        try:
            status, answer = self._post(head.encode("ascii") + body, deadline)
        except (OSError, http.client.HTTPException) as error:
            self._discard()
            raise Unavailable(f"{type(error).__name__}: {error}") from error
        except BaseException:
            # Half an answer may be left in it.
            self._discard()
            raise
        _judge(status, answer)

    def _post(self, request: bytes, deadline: float) -> tuple[int, bytes]:
        kept = self._kept()
        if kept:
            try:
                return self._exchange(kept, request, deadline)
            except STALE:
                # Taken or not, a repeat is harmless: every event has its key.
                self._discard()
        return self._exchange(self._connect(deadline), request, deadline)

    def _exchange(self, sock: socket.socket, request: bytes, deadline: float) -> tuple[int, bytes]:
        sock.settimeout(_left(deadline))
        sock.sendall(request)
        response = http.client.HTTPResponse(sock, method="POST")
        response.fp.close()
        response.fp = io.BufferedReader(_DeadlineReader(sock, deadline))
        response.begin()
        answer = response.read(MAX_ANSWER)
        if response.will_close or not response.isclosed():
            self._discard()
        return response.status, answer

    def _kept(self) -> socket.socket | None:
        sock = getattr(self.local, "sock", None)
        if not sock:
            return None
        # A connection from before a fork belongs to the parent; a readable idle one was closed by the other side.
        if self.local.pid == os.getpid() and not _is_readable(sock):
            return sock
        self._discard()
        return None

    def _connect(self, deadline: float) -> socket.socket:
        timeout = min(self.connect_timeout, _left(deadline))
        sock = socket.create_connection((self.host, self.port), timeout)
        self.local.sock, self.local.pid = sock, os.getpid()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.tls:
            self.local.sock = self.tls.wrap_socket(sock, server_hostname=self.host)
        return self.local.sock

    def _discard(self) -> None:
        sock = getattr(self.local, "sock", None)
        self.local.sock = None
        if sock:
            sock.close()


def _is_readable(sock: socket.socket) -> bool:
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


def _judge(status: int, answer: bytes) -> None:
    if status == 202:
        return
    detail, index = _read(answer)
    text = f"answered {status}" + (f": {detail}" if detail else "")
    # A proxy before netbox-webhookd refuses a long body by itself, and a 400 of its own says nothing of the events.
    if status in REFUSALS and (detail or status == 413):
        raise Refused(text, index)
    if 200 <= status < 300:
        text += ", not 202; is 'url' the address of netbox-webhookd?"
    raise Unavailable(text)


def _read(answer: bytes) -> tuple[str, int | None]:
    """The `detail` and `index` of an error as netbox-webhookd writes it; without those, nothing."""
    try:
        error = json.loads(answer)
    except ValueError:
        return "", None
    if not isinstance(error, dict) or not isinstance(error.get("detail"), str):
        return "", None
    index = error.get("index")
    valid = isinstance(index, int) and not isinstance(index, bool)
    return error["detail"][:500], index if valid else None
