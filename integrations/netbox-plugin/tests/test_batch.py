import datetime
import decimal
import json
import logging
import uuid

import pytest
from django.utils.functional import lazystr
from queued import REQUEST_ID, Kind, LazyData, Request, many, queued

from netbox_webhookd import batch


def decoded(queue):
    return [json.loads(event.body) for event in batch.encode(queue)]


def test_an_event_has_the_members_the_intake_reads():
    (event,) = decoded([queued("a")])
    assert event.pop("id").endswith("-0")
    assert datetime.datetime.fromisoformat(event.pop("timestamp")).tzinfo
    assert event == {
        "event": "created",
        "object_type": "dcim.site",
        "model": "site",
        "username": "admin",
        "request_id": str(REQUEST_ID),
        "data": {"id": 1, "name": "a"},
        "snapshots": {"prechange": None, "postchange": {"name": "a"}},
        "request": {"id": str(REQUEST_ID), "method": "POST", "path": "/api/dcim/sites/", "user": "admin"},
    }


def test_values_are_written_as_netbox_writes_them():
    data = {
        "height": decimal.Decimal("52.50"),
        "created": datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone.utc),
        "uuid": uuid.UUID(int=1),
        "label": lazystr("Active"),
        "umlaut": "é",
    }
    (event,) = batch.encode([queued(data=data)])
    assert (
        b'"data": {"height": 52.5, "created": "2026-01-02T00:00:00Z", '
        b'"uuid": "00000000-0000-0000-0000-000000000001", "label": "Active", "umlaut": "\\u00e9"}'
    ) in event.body


def test_lazy_data_of_4_5_is_serialised():
    values = queued()
    del values["data"]
    (event,) = decoded([LazyData(values, lambda: {"id": 1, "name": "lazy"})])
    assert event["data"] == {"id": 1, "name": "lazy"}


def test_user_and_request_id_of_4_7_come_from_the_request():
    values = queued()
    del values["username"], values["request_id"]
    (event,) = decoded([values])
    assert (event["username"], event["request_id"]) == ("admin", str(REQUEST_ID))


def test_the_shape_of_3_7_and_4_0_is_understood():
    old = {
        "content_type": Kind(),
        "object_id": 1,
        "event": "delete",
        "data": {"id": 1},
        "snapshots": None,
        "username": "bob",
        "request_id": REQUEST_ID,
    }
    (event,) = decoded([old])
    assert (event["event"], event["object_type"], event["username"]) == ("deleted", "dcim.site", "bob")
    assert "request" not in event


def test_one_event_that_cannot_be_serialised_is_left_out_and_logged(caplog):
    def broken():
        raise RuntimeError("gone")

    values = queued(number=2)
    del values["data"]
    with caplog.at_level(logging.ERROR):
        events = decoded([queued("a"), LazyData(values, broken), queued("c", 3)])
    assert [event["data"]["name"] for event in events] == ["a", "c"]
    assert "dcim.site 2 cannot be serialised" in caplog.text


def test_keys_differ_between_batches_and_within_one():
    keys = [event.id for _ in range(2) for event in batch.encode(many("a", "b"))]
    assert len(set(keys)) == 4


def test_a_request_without_a_user_is_no_obstacle():
    class Bare(Request):
        user = None

    (event,) = decoded([queued(request=Bare(), username="")])
    assert event["username"] == ""


@pytest.mark.parametrize(("count", "size", "expected"), [(3, 10, [2, 1]), (2, 30, [1, 1]), (1, 100, [1]), (0, 1, [])])
def test_chunks_are_bounded_in_events_and_bytes(monkeypatch, count, size, expected):
    monkeypatch.setattr(batch, "MAX_EVENTS", 2)
    monkeypatch.setattr(batch, "MAX_BYTES", 50)
    events = [batch.Event(str(n), b"x" * size) for n in range(count)]
    assert [len(chunk) for chunk in batch.chunks(events)] == expected


def test_lines_bring_back_what_they_were_made_of():
    events = batch.encode([queued("line\nbreak\u2028"), queued("b")])
    assert batch.from_lines(batch.to_lines(events)) == events


@pytest.mark.parametrize("text", [b"", b'key {"a": 1}', b"no event\n", b"\n"])
def test_damaged_lines_are_recognised(text):
    with pytest.raises(ValueError):
        batch.from_lines(text)
