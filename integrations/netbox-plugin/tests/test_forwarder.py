import itertools
import json
import logging
import os
import threading
import time

import pytest
from queued import many
from receiver import Answer, Receiver

from netbox_webhookd import batch
from netbox_webhookd.forwarder import Forwarder, Limits
from netbox_webhookd.settings import Settings
from netbox_webhookd.transport import Unavailable

ALL = Limits(groups=1000, events=5000, size=2**25, seconds=5, lock_seconds=0)
LOGGER = "netbox.plugins.netbox_webhookd"


@pytest.fixture
def make(options):
    """Each call is another process of the same NetBox, as far as the plugin can tell."""
    return lambda **more: Forwarder(Settings.read({**options, **more}))


def events(*names):
    return batch.encode(many(*names))


def left(forwarder):
    return sum(waiting.events for waiting in forwarder.spool.queue.waiting())


def forget_failure(forwarder):
    """The seconds after a failure are over."""
    forwarder.circuit.reset()


def test_a_batch_goes_out_at_once_and_leaves_no_file(make, receiver, options):
    make().forward(events("a", "b"))
    assert [got.names for got in receiver.got] == [["a", "b"]]
    assert not os.path.exists(options["spool_dir"])


def test_a_large_batch_goes_in_chunks(make, receiver, monkeypatch):
    monkeypatch.setattr(batch, "MAX_EVENTS", 2)
    make().forward(events("a", "b", "c"))
    assert [got.names for got in receiver.got] == [["a", "b"], ["c"]]


def test_after_a_failure_events_wait_and_then_leave_in_order(make, receiver):
    forwarder = make()
    receiver.script = [Answer(503)]
    for name in "abc":
        forwarder.forward(events(name))
    assert (receiver.names, left(forwarder)) == ([], 3)
    forget_failure(forwarder)
    forwarder.forward(events("d"))
    assert (receiver.names, left(forwarder)) == (["a", "b", "c", "d"], 0)
    assert len(receiver.got) == 1


def test_the_chunks_after_a_failed_one_wait_too(make, receiver, monkeypatch):
    monkeypatch.setattr(batch, "MAX_EVENTS", 1)
    forwarder = make()
    receiver.script = [Answer(), Answer(503)]
    forwarder.forward(events("a", "b", "c"))
    assert (receiver.names, left(forwarder)) == (["a"], 2)
    forwarder.drain(ALL)
    assert receiver.names == ["a", "b", "c"]


def test_a_receiver_that_hangs_is_asked_once_by_all_processes(make, receiver):
    one, other = make(timeout=0.3), make(timeout=0.3)
    asked = []
    receiver.decide = lambda got: asked.append(got) or Answer(hang=True)
    started = time.monotonic()
    one.forward(events("a"))
    assert 0.29 < time.monotonic() - started < 0.6
    started = time.monotonic()
    for forwarder in (one, other, make(timeout=0.3)):
        forwarder.forward(events("b"))
    assert time.monotonic() - started < 0.25
    assert (len(asked), left(one)) == (1, 4)


def test_what_was_sent_twice_has_the_same_keys(make, receiver):
    """A timeout tells nothing of whether the batch was taken."""
    forwarder = make(timeout=0.3)
    seen = []
    receiver.decide = lambda got: seen.append(got) or Answer(hang=len(seen) == 1)
    forwarder.forward(events("a", "b"))
    forwarder.drain(ALL)
    assert [event["id"] for event in seen[0].events] == [event["id"] for event in seen[1].events]


def test_one_request_drains_only_so_much(make, receiver):
    forwarder = make()
    receiver.script = [Answer(503)]
    for _ in range(3):
        forwarder.forward(events(*"x" * 600))
    forget_failure(forwarder)
    forwarder.forward(events("y"))
    assert (len(receiver.names), left(forwarder)) == (600, 1201)


def test_a_batch_born_before_another_stands_before_it(make):
    spool = make().spool
    early, late = spool.now(), spool.now()
    spool.append(events("late"), late)
    spool.append(events("early"), early)
    loaded = [json.loads(spool.load(waiting)[0].body)["data"]["name"] for waiting in spool.queue.waiting()]
    assert loaded == ["early", "late"]


def test_only_one_drains(make, receiver):
    one, other = make(), make()
    receiver.script = [Answer(503)]
    one.forward(events("a"))
    with one.spool.lock() as mine:
        assert mine
        assert other.drain(ALL).problem == "another process is draining the spool"
    assert other.drain(ALL).sent == 1


def test_threads_of_several_processes_lose_repeat_and_swap_nothing(make, receiver):
    forwarders = [make(retry_after=0.1) for _ in range(3)]
    turn = itertools.count(1)
    receiver.decide = lambda got: Answer(503) if next(turn) % 5 == 0 else Answer()

    def run(number):
        for step in range(40):
            forwarders[number % 3].forward(events(f"{number}-{step}"))
            forget_failure(forwarders[step % 3])

    threads = [threading.Thread(target=run, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    receiver.decide = None
    forwarders[0].drain(ALL)
    for number in range(6):
        own = [name for name in receiver.names if name.startswith(f"{number}-")]
        assert own == [f"{number}-{step}" for step in range(40)]
    assert len(receiver.names) == 240
    assert left(forwarders[0]) == 0


def refuse(name):
    """Answers as netbox-webhookd does to a batch with that event in it."""

    def decide(got):
        if name not in got.names:
            return Answer()
        index = got.names.index(name)
        return Answer(400, {"detail": f"event {index}: bad", "index": index})

    return decide


def test_what_is_refused_is_kept_aside_and_holds_up_nobody(make, receiver, caplog):
    forwarder = make()
    receiver.decide = refuse("b")
    forwarder.forward(events("a", "b", "c"))
    assert receiver.names == ["a", "c"]
    (waiting,) = forwarder.spool.rejected.waiting()
    text = open(os.path.join(forwarder.spool.rejected.path, waiting.name), "rb").read()
    reason, line = text.split(b"\n", 1)
    assert json.loads(reason) == {"rejected": "answered 400: event 1: bad"}
    assert json.loads(batch.from_lines(line)[0].body)["data"]["name"] == "b"
    assert "refused 1 events (answered 400: event 1: bad)" in caplog.text


def test_what_is_refused_out_of_the_spool_does_not_block_it(make, receiver):
    forwarder = make()
    receiver.script = [Answer(503)]
    for name in "abc":
        forwarder.forward(events(name))
    receiver.decide = refuse("b")
    drained = forwarder.drain(ALL)
    assert (drained.sent, drained.rejected, drained.problem) == (2, 1, None)
    assert (receiver.names, left(forwarder)) == (["a", "c"], 0)


def test_rejected_events_can_be_put_back(make, receiver):
    forwarder = make()
    receiver.decide = refuse("b")
    forwarder.forward(events("a", "b"))
    receiver.decide = None
    assert forwarder.spool.requeue() == 1
    assert forwarder.drain(ALL).sent == 1
    assert receiver.names == ["a", "b"]
    assert forwarder.spool.rejected.is_empty()


def test_a_full_spool_loses_the_newest_and_says_so(make, receiver, caplog):
    forwarder = make(spool_max_bytes=2**20)
    receiver.script = [Answer(503)]
    with caplog.at_level(logging.ERROR, LOGGER):
        for _ in range(257):
            forwarder.forward(events("a"))
    assert left(forwarder) == 256
    assert caplog.text.count("1 events are lost") == 1
    assert "is full" in caplog.text
    forwarder.drain(ALL)
    receiver.script = [Answer(503)]
    forwarder.forward(events("b"))
    assert left(forwarder) == 1, "there is room again"


def test_a_spool_that_cannot_be_written_is_no_exception(make, receiver, tmp_path, caplog):
    (tmp_path / "file").touch()
    forwarder = make(spool_dir=str(tmp_path / "file" / "spool"))
    receiver.script = [Answer(503)]
    forwarder.forward(events("a"))
    assert "1 events are lost" in caplog.text
    forwarder.forward(events("b"))
    assert receiver.names == [], "after a failure it waits even without a spool"


@pytest.mark.parametrize("damage", [b"", b"half a li"], ids=["empty", "cut"])
def test_a_damaged_file_is_moved_out_of_the_way(make, receiver, caplog, damage):
    forwarder = make()
    receiver.script = [Answer(503)]
    forwarder.forward(events("a"))
    forwarder.forward(events("b"))
    first = forwarder.spool.queue.waiting()[0]
    with open(os.path.join(forwarder.spool.queue.path, first.name), "wb") as file:
        file.write(damage)
    assert forwarder.drain(ALL).sent == 1
    assert (receiver.names, left(forwarder)) == (["b"], 0)
    assert "is damaged" in caplog.text
    assert [waiting.name for waiting in forwarder.spool.rejected.waiting()] == [first.name]
    assert forwarder.spool.requeue() == 0


def test_events_of_an_interrupted_request_are_kept(make):
    class Interrupted:
        def send(self, events, seconds):
            raise SystemExit

    forwarder = make()
    forwarder.transport = Interrupted()
    with pytest.raises(SystemExit):
        forwarder.forward(events("a"))
    assert left(forwarder) == 1


def test_a_receiver_back_after_an_outage_gets_everything(make, receiver, caplog):
    forwarder = make()
    receiver.close()
    for name in "abc":
        forwarder.forward(events(name))
    assert "ConnectionRefusedError" in caplog.text
    assert "t0ken" not in caplog.text
    with Receiver(receiver.port) as again, caplog.at_level(logging.INFO, LOGGER):
        forwarder.drain(ALL)
        assert again.names == ["a", "b", "c"]
    assert "takes events again" in caplog.text


def test_a_larger_batch_has_more_time(make):
    given = []

    class Recorder:
        def send(self, events, seconds):
            given.append(round(seconds))
            raise Unavailable("no")

    for count in (1, 1000, 1001, 4500):
        forwarder = make(timeout=1)
        forget_failure(forwarder)
        forwarder.spool.queue.is_empty = lambda: True
        forwarder.transport = Recorder()
        forwarder.forward(events(*"x" * count))
    assert given == [1, 1, 2, 5]


def test_files_are_for_the_owner_only(make, receiver):
    forwarder = make()
    receiver.script = [Answer(503)]
    forwarder.forward(events("a"))
    (waiting,) = forwarder.spool.queue.waiting()
    path = os.path.join(forwarder.spool.queue.path, waiting.name)
    modes = [os.stat(p).st_mode & 0o777 for p in (path, forwarder.spool.queue.path, forwarder.spool.root)]
    assert modes == [0o600, 0o700, 0o700]
    assert os.listdir(os.path.join(forwarder.spool.root, "tmp")) == []


def test_leftovers_of_processes_that_died_are_removed(make, receiver):
    spool = make().spool
    spool.append(events("a"), spool.now())
    old, new = (os.path.join(spool.root, "tmp", name) for name in ("old", "new"))
    for path, age in ((old, 7200), (new, 0)):
        open(path, "wb").close()
        os.utime(path, (time.time() - age,) * 2)
    spool.tidy()
    assert os.listdir(os.path.join(spool.root, "tmp")) == ["new"]
