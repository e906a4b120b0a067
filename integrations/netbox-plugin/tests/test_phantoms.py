import logging

import pytest
from queued import Kind, many, queued

from netbox_webhookd import phantoms


@pytest.fixture
def changelog(monkeypatch):
    """What the changelog knows of each request; the query itself is tested against NetBox."""
    known = {}
    monkeypatch.setattr(phantoms, "changed_objects", lambda request_id: known.get(request_id, set()))
    return known


def names(queue):
    return [q["data"]["name"] for q in phantoms.without_phantoms(queue)]


def rid(queue):
    return str(queue[0]["request_id"])


def test_what_the_changelog_does_not_know_was_rolled_back(changelog, caplog):
    queue = many("a", "b", "c")
    changelog[rid(queue)] = {(7, 1), (7, 3), (8, 2)}
    with caplog.at_level(logging.INFO):
        assert names(queue) == ["a", "c"]
    assert "created of dcim.site 2 was rolled back" in caplog.text


def test_each_request_is_looked_up_by_itself(changelog):
    one, other = many("a"), many("b", request=None, request_id="other")
    changelog["other"] = {(7, 1)}
    assert names(one + other) == ["b"]


def test_an_update_that_changed_nothing_stays(changelog):
    same = {"prechange": {"name": "a"}, "postchange": {"name": "a", "last_updated": "now"}}
    changed = {"prechange": {"name": "b"}, "postchange": {"name": "c"}}
    queue = [
        queued("same", event_type="object_updated", snapshots=same),
        queued("changed", event_type="object_updated", snapshots=changed),
    ]
    assert names(queue) == ["same"]


def test_objects_without_a_changelog_stay(changelog):
    assert names(many("a", kind=Kind(logged=False))) == ["a"]


def test_events_without_a_request_stay(changelog):
    assert names(many("a", request=None, request_id=None)) == ["a"]


def test_if_the_query_fails_everything_stays(monkeypatch, caplog):
    def fails(request_id):
        raise RuntimeError("no database")

    monkeypatch.setattr(phantoms, "changed_objects", fails)
    assert names(many("a", "b")) == ["a", "b"]
    assert "all 2 are forwarded" in caplog.text
