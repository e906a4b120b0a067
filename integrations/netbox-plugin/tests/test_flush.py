import io

import pytest
from django.core.management import CommandError, call_command
from queued import many
from receiver import Answer

from netbox_webhookd.pipeline import forward_events


def flush(*arguments):
    out = io.StringIO()
    try:
        call_command("webhookd_flush", *arguments, stdout=out)
        return 0, out.getvalue()
    except CommandError as error:
        return error.returncode, out.getvalue() + str(error)


@pytest.fixture
def spooled(configured, receiver):
    configured()
    receiver.script = [Answer(503)]
    forward_events(many("a", "b"))
    forward_events(many("c"))


def test_nothing_waiting(configured, tmp_path):
    configured()
    assert flush() == (0, "sent: 0 events, rejected: 0, left: 0 events in 0 batches\n")
    assert not (tmp_path / "spool").exists()


def test_everything_is_sent_even_right_after_a_failure(spooled, receiver):
    assert flush() == (0, "sent: 3 events, rejected: 0, left: 0 events in 0 batches\n")
    assert receiver.names == ["a", "b", "c"]


def test_what_is_left_is_exit_code_1(spooled, receiver):
    receiver.script = [Answer(401, {"detail": "unknown token"})]
    code, text = flush()
    assert code == 1
    assert "sent: 0 events, rejected: 0, left: 3 events in 2 batches" in text
    assert "answered 401: unknown token" in text


def test_rejected_events_are_tried_again_if_asked_for(spooled, receiver):
    receiver.decide = lambda got: Answer(400, {"detail": "event 0: bad", "index": 0})
    assert flush() == (0, "sent: 0 events, rejected: 3, left: 0 events in 0 batches\n")
    receiver.decide = None
    assert flush()[1].startswith("sent: 0")
    code, text = flush("--requeue-rejected")
    assert code == 0
    assert "sent: 3 events" in text
    assert sorted(receiver.names) == ["a", "b", "c"]
