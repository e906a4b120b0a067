"""An HTTP server that answers as told, and remembers what it got."""

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Answer:
    """What to do with one request; `hang` waits until the receiver is closed, `drop` closes without an answer."""

    def __init__(self, status=202, body=None, hang=False, close=False, drip=False, drop=False):
        self.drop = drop
        self.status = status
        self.body = {} if body is None else body
        self.hang = hang
        self.close = close
        self.drip = drip


class Got:
    def __init__(self, path, headers, raw, peer):
        self.path = path
        self.headers = headers
        self.raw = raw
        self.peer = peer

    @property
    def events(self):
        return json.loads(self.raw)

    @property
    def names(self):
        return [event["data"]["name"] for event in self.events]


class Receiver:
    """Answers with `script`, one by one, then as `decide` says, else with 202."""

    def __init__(self, port=0):
        self.script = []
        self.decide = None
        self.got = []
        self.closed = threading.Event()
        self.sockets = set()
        self.server = _Server(("127.0.0.1", port), _Handler)
        self.server.receiver = self
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.thread.start()

    @property
    def names(self):
        """Of all events accepted, in order."""
        return [name for got in self.got for name in got.names]

    def answer(self, got):
        if self.script:
            return self.script.pop(0)
        return self.decide(got) if self.decide else Answer()

    def drop_connections(self):
        """Closes what clients keep open, as a restart does; returns when the kernel has told them."""
        for sock in list(self.sockets):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        self.closed.set()
        self.drop_connections()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if not self.closed.is_set():
            self.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self):
        super().setup()
        self.server.receiver.sockets.add(self.request)

    def finish(self):
        self.server.receiver.sockets.discard(self.request)
        try:
            super().finish()
        except OSError:
            pass

    def do_POST(self):
        receiver = self.server.receiver
        raw = self.rfile.read(int(self.headers["Content-Length"]))
        got = Got(self.path, self.headers, raw, self.client_address)
        answer = receiver.answer(got)
        if answer.hang:
            receiver.closed.wait()
            return
        if answer.drop:
            self.close_connection = True
            return
        if answer.status == 202:
            receiver.got.append(got)
        try:
            self._answer(answer, receiver)
        except OSError:
            self.close_connection = True

    def _answer(self, answer, receiver):
        body = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
        self.send_response(answer.status)
        self.send_header("Content-Length", str(len(body)))
        if answer.close:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        if answer.drip:
            for byte in body:
                if receiver.closed.wait(0.02):
                    return
                self.wfile.write(bytes([byte]))
                self.wfile.flush()
        else:
            self.wfile.write(body)

    def log_message(self, *_):
        pass
