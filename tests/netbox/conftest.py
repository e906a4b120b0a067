"""A Redis server and a receiver per test, both on free ports and gone afterwards."""

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from redis import Redis

HERE = Path(__file__).resolve().parent
# Jobs captured from NetBox 4.4.10: *.data.pickle, *.job.json, *.delivered.json.
CAPTURED = Path(os.environ.get("NETBOX_RQ_FIXTURES", HERE.parent / "fixtures" / "netbox" / "rq"))


@pytest.fixture
def redis(tmp_path):
    """A client of a fresh redis-server which keeps nothing on disk."""
    if not shutil.which("redis-server"):
        pytest.fail("redis-server is needed: apt-get install -y redis-server")
    port = free_port()
    call = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    server = subprocess.Popen([*call, "--dir", str(tmp_path)], stdout=subprocess.PIPE, text=True)
    # The few lines that follow at this log level fit into the pipe; communicate() takes them.
    ready = any("Ready to accept connections" in line for line in server.stdout)
    client = Redis(host="127.0.0.1", port=port)
    try:
        assert ready, "redis-server did not start"
        yield client
    finally:
        client.close()
        server.terminate()
        server.communicate()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def rq_side(redis):
    """Calls the command line as the Rust tests do: one process, one JSON document."""
    url = f"redis://127.0.0.1:{redis.connection_pool.connection_kwargs['port']}/0"

    def call(*args, status=0):
        command = [sys.executable, str(HERE / "rq_side.py"), "--redis", url, *map(str, args)]
        run = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert run.returncode == status, run.stdout + run.stderr
        return json.loads(run.stdout)

    return call


class Receiver:
    """Answers with `statuses` in turn, the last one for ever, and keeps what came."""

    def __init__(self):
        self.statuses = [200]
        self.requests = []
        self.hold = threading.Event()
        self.arrived = threading.Semaphore(0)
        self.hold.set()

    def answer(self, handler):
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        self.requests.append((list(handler.headers.items()), body))
        self.arrived.release()
        self.hold.wait(timeout=60)
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        handler.send_response(status)
        handler.send_header("Content-Length", "2")
        handler.end_headers()
        handler.wfile.write(b"ok")

    @property
    def bodies(self):
        return [json.loads(body) for _, body in self.requests]


@pytest.fixture
def receiver():
    kept = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            kept.answer(self)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    kept.url = f"http://127.0.0.1:{server.server_port}/hook"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield kept
    kept.hold.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def captured():
    if not CAPTURED.is_dir():
        pytest.skip(f"no captured jobs in {CAPTURED}")
    return CAPTURED
