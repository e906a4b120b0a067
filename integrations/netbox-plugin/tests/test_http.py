import os
import shutil
import ssl
import subprocess
import threading
import time

import pytest
from receiver import Answer, Receiver

from netbox_webhookd.batch import Event
from netbox_webhookd.http_transport import HttpTransport
from netbox_webhookd.settings import Settings
from netbox_webhookd.transport import Refused, Unavailable

EVENTS = [Event("b-0", b'{"data": {"name": "a"}}'), Event("b-1", b'{"data": {"name": "b"}}')]


@pytest.fixture
def transport(options):
    return HttpTransport(Settings.read(options))


def test_a_batch_is_one_request(transport, receiver):
    transport.send(EVENTS, 5)
    (got,) = receiver.got
    assert got.path == "/api/events/"
    assert got.names == ["a", "b"]
    assert got.headers["Authorization"] == "Token t0ken"
    assert got.headers["Content-Type"] == "application/json"
    assert got.headers["Idempotency-Key"] == "b-0"


def test_a_thread_keeps_its_connection(transport, receiver):
    for _ in range(3):
        transport.send(EVENTS, 5)
    other = threading.Thread(target=transport.send, args=(EVENTS, 5))
    other.start()
    other.join()
    peers = [got.peer for got in receiver.got]
    assert len(set(peers[:3])) == 1
    assert peers[3] != peers[0]


def test_a_connection_closed_by_the_receiver_is_replaced(transport, receiver):
    transport.send(EVENTS, 5)
    receiver.drop_connections()
    assert transport._kept() is None
    transport.send(EVENTS, 5)
    receiver.script = [Answer(close=True)]
    transport.send(EVENTS, 5)
    transport.send(EVENTS, 5)
    assert len(receiver.got) == 4


def test_a_kept_connection_that_closes_as_we_send_is_replaced_but_a_new_one_is_not(transport, receiver):
    transport.send(EVENTS, 5)
    receiver.script = [Answer(drop=True)]
    transport.send(EVENTS, 5)
    assert len(receiver.got) == 2
    receiver.script = [Answer(drop=True), Answer(drop=True)]
    with pytest.raises(Unavailable, match="RemoteDisconnected"):
        transport.send(EVENTS, 5)
    assert receiver.script == []


def test_a_connection_from_before_a_fork_is_not_used(transport, receiver):
    transport.send(EVENTS, 5)
    child = os.fork()
    if child == 0:
        try:
            transport.send(EVENTS, 5)
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    transport.send(EVENTS, 5)
    peers = [got.peer for got in receiver.got]
    assert peers[0] == peers[2] != peers[1]


@pytest.mark.parametrize("status", [401, 403, 404, 415, 429, 500, 503])
def test_what_can_be_put_right_is_unavailable(transport, receiver, status):
    receiver.script = [Answer(status, {"detail": "no"})]
    with pytest.raises(Unavailable, match=f"answered {status}: no"):
        transport.send(EVENTS, 5)


@pytest.mark.parametrize("status", [400, 409, 413, 422])
def test_what_is_wrong_with_the_events_is_refused(transport, receiver, status):
    receiver.script = [Answer(status, {"detail": "event 1: bad", "index": 1})]
    with pytest.raises(Refused) as refusal:
        transport.send(EVENTS, 5)
    assert (refusal.value.reason, refusal.value.index) == (f"answered {status}: event 1: bad", 1)
    transport.send(EVENTS, 5)


def test_a_400_that_is_not_from_netbox_webhookd_refuses_nothing(transport, receiver):
    receiver.script = [Answer(400, b"<html>The plain HTTP request was sent to HTTPS port</html>")]
    with pytest.raises(Unavailable):
        transport.send(EVENTS, 5)


def test_a_page_of_something_else_is_not_taken_for_success(transport, receiver):
    receiver.script = [Answer(200, b"<html>welcome</html>")]
    with pytest.raises(Unavailable, match="is 'url' the address of netbox-webhookd"):
        transport.send(EVENTS, 5)


@pytest.mark.parametrize("answer", [Answer(hang=True), Answer(body=b"x" * 2000, drip=True)], ids=["hangs", "drips"])
def test_a_receiver_that_takes_its_time_costs_no_more_than_the_timeout(transport, receiver, answer):
    transport.send(EVENTS, 5)
    receiver.script = [answer]
    started = time.monotonic()
    with pytest.raises(Unavailable):
        transport.send(EVENTS, 0.3)
    assert 0.29 < time.monotonic() - started < 0.6


def test_nobody_listening_is_unavailable_and_then_works_again(options, receiver):
    receiver.close()
    transport = HttpTransport(Settings.read(options))
    with pytest.raises(Unavailable, match="ConnectionRefusedError"):
        transport.send(EVENTS, 5)
    with Receiver(receiver.port) as again:
        transport.send(EVENTS, 5)
        assert again.names == ["a", "b"]


def test_a_long_answer_is_read_to_its_end(transport, receiver):
    receiver.script = [Answer(body={"events": ["x" * 90] * 5000})]
    transport.send(EVENTS, 5)
    transport.send(EVENTS, 5)
    assert len({got.peer for got in receiver.got}) == 1


def test_an_endless_answer_is_not(transport, receiver):
    receiver.script = [Answer(body=b"x" * (3 * 1024 * 1024))]
    transport.send(EVENTS, 5)
    transport.send(EVENTS, 5)
    assert len({got.peer for got in receiver.got}) == 2


def test_https_does_not_trust_just_anybody(options, receiver):
    transport = HttpTransport(Settings.read({**options, "url": receiver.url.replace("http:", "https:")}))
    assert transport.tls.verify_mode == ssl.CERT_REQUIRED
    with pytest.raises(Unavailable):
        transport.send(EVENTS, 5)


@pytest.fixture
def certificate(tmp_path):
    program = shutil.which("openssl")
    if not program:
        pytest.skip("openssl is not installed")
    key, cert = str(tmp_path / "key.pem"), str(tmp_path / "cert.pem")
    command = [program, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, "-days", "2"]
    subprocess.run(
        [*command, "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True
    )
    return cert, key


def test_https_with_a_private_ca_keeps_its_connection(options, receiver, certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    receiver.server.socket = context.wrap_socket(receiver.server.socket, server_side=True)
    given = {**options, "url": receiver.url.replace("http:", "https:")}
    with pytest.raises(Unavailable, match="CERTIFICATE_VERIFY_FAILED"):
        HttpTransport(Settings.read(given)).send(EVENTS, 5)
    transport = HttpTransport(Settings.read({**given, "ca_cert_path": certificate[0], "connect_timeout": 5.0}))
    for _ in range(3):
        transport.send(EVENTS, 5)
    assert receiver.names == ["a", "b"] * 3
    assert len({got.peer for got in receiver.got}) == 1
