"""Against a running NetBox that has the plugin installed; skipped unless told where.

NETBOX_URL, NETBOX_TOKEN   a NetBox of one's own, for the tests create and delete sites, regions and tags in it
WEBHOOKD_PORT              `url` of the plugin is http://127.0.0.1:<this>; the tests listen there
WEBHOOKD_SPOOL             `spool_dir` of the plugin, empty
WEBHOOKD_TIMEOUT           `timeout` of the plugin (1.0)
WEBHOOKD_RETRY_AFTER       `retry_after` of the plugin (10)

The plugin's other settings are the defaults. NetBox runs with `QUEUE_MAPPINGS` or event rules of any kind, or none.
"""

import json
import os
import pathlib
import time
import urllib.error
import urllib.request
import uuid

import pytest
from receiver import Answer, Receiver

URL = os.environ.get("NETBOX_URL")
pytestmark = pytest.mark.skipif(not URL, reason="NETBOX_URL is not set")

SPOOL = pathlib.Path(os.environ.get("WEBHOOKD_SPOOL", "/nonexistent"))
TIMEOUT = float(os.environ.get("WEBHOOKD_TIMEOUT", "1.0"))
RETRY_AFTER = float(os.environ.get("WEBHOOKD_RETRY_AFTER", "10"))


@pytest.fixture
def receiver():
    with Receiver(int(os.environ["WEBHOOKD_PORT"])) as running:
        yield running


@pytest.fixture(autouse=True)
def spool_is_empty():
    yield
    assert spooled() == 0, "a test left something in the spool"


def call(method, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(URL + path, data, method=method)
    request.add_header("Authorization", f"Token {os.environ['NETBOX_TOKEN']}")
    request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request) as response:
            return response.status, json.loads(response.read() or b"null")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, None


def create(count=1, prefix="t", **more):
    names = [f"{prefix}-{uuid.uuid4().hex[:12]}" for _ in range(count)]
    status, sites = call("POST", "/api/dcim/sites/", [{"name": name, "slug": name, **more} for name in names])
    assert status == 201
    return sites


def delete(sites, expected=204):
    assert call("DELETE", "/api/dcim/sites/", [{"id": site["id"]} for site in sites])[0] == expected


def spooled():
    return len(list((SPOOL / "queue").glob("*.batch"))) if (SPOOL / "queue").exists() else 0


def seconds_are_over():
    """As if `retry_after` had passed for the mark that all processes share."""
    mark = SPOOL / "unavailable"
    if mark.exists():
        os.utime(mark, (time.time() - RETRY_AFTER - 1,) * 2)


def summary(got):
    return [(event["event"], event["object_type"], event["data"]["name"]) for event in got.events]


def test_create_update_delete_arrive_with_data_and_snapshots(receiver):
    (site,) = create()
    call("PATCH", f"/api/dcim/sites/{site['id']}/", {"latitude": 52.5, "tags": []})
    delete([site])
    created, updated, deleted = (event for got in receiver.got for event in got.events)
    assert [created["event"], updated["event"], deleted["event"]] == ["created", "updated", "deleted"]
    for event in (created, updated, deleted):
        assert (event["object_type"], event["model"], event["username"]) == ("dcim.site", "site", "admin")
        assert event["data"]["id"] == site["id"]
        assert uuid.UUID(event["request_id"])
    assert created["snapshots"]["prechange"] is None and created["snapshots"]["postchange"]["name"] == site["name"]
    assert updated["snapshots"]["postchange"]["latitude"] in ("52.500000", "52.5", 52.5)
    assert updated["data"]["latitude"] == 52.5
    assert updated["data"]["status"] == {"value": "active", "label": "Active"}
    assert deleted["snapshots"]["postchange"] is None
    assert len({event["request_id"] for event in (created, updated, deleted)}) == 3
    if "request" in created:
        assert created["request"] == {
            "id": created["request_id"],
            "method": "POST",
            "path": "/api/dcim/sites/",
            "user": "admin",
        }


def test_a_bulk_request_is_one_batch_in_order(receiver):
    sites = create(20)
    delete(sites)
    (created, deleted) = receiver.got
    assert created.names == [site["name"] for site in sites]
    assert sorted(deleted.names) == sorted(created.names)
    assert len({event["id"] for event in created.events}) == 20


def test_a_rolled_back_bulk_delete_sends_nothing(receiver):
    # NetBox deletes in the order of names: the free one is gone before the other one refuses.
    (free,), (protected,) = create(prefix="a"), create(prefix="z")
    status, location = call(
        "POST", "/api/dcim/locations/", {"name": "l", "slug": free["slug"], "site": protected["id"]}
    )
    assert status == 201
    status, rack = call("POST", "/api/dcim/racks/", {"name": "r", "site": protected["id"]})
    assert status == 201
    before = len(receiver.got)
    delete([free, protected], expected=409)
    assert receiver.got[before:] == []
    assert call("GET", f"/api/dcim/sites/{free['id']}/")[0] == 200
    call("DELETE", f"/api/dcim/racks/{rack['id']}/")
    delete([free, protected])
    assert {("deleted", "dcim.site", free["name"]), ("deleted", "dcim.site", protected["name"])} <= set(
        summary(receiver.got[-1])
    )


def test_an_update_that_changes_nothing_arrives_as_netbox_would_send_it(receiver):
    (site,) = create(description="same")
    assert call("PATCH", f"/api/dcim/sites/{site['id']}/", {"description": "same"})[0] == 200
    delete([site])
    assert [event["event"] for got in receiver.got for event in got.events] == ["created", "updated", "deleted"]


def test_what_netbox_did_during_an_outage_arrives_afterwards_in_order():
    sites = create(3)
    (site,) = create()
    for text in "abc":
        call("PATCH", f"/api/dcim/sites/{site['id']}/", {"description": text})
    assert spooled() == 5
    seconds_are_over()
    with Receiver(int(os.environ["WEBHOOKD_PORT"])) as receiver:
        delete([site])
        delete(sites)
    assert [event["data"]["description"] for event in receiver.got[0].events[4:7]] == ["a", "b", "c"]
    kinds = [event["event"] for got in receiver.got for event in got.events]
    assert kinds == ["created"] * 4 + ["updated"] * 3 + ["deleted"] * 4


def test_a_receiver_that_hangs_costs_one_request_one_timeout(receiver):
    asked = []
    receiver.decide = lambda got: asked.append(time.perf_counter()) or Answer(hang=True)
    first = create()
    # From when the receiver began to hang: how long NetBox itself takes depends on how warm its processes are.
    waited = time.perf_counter() - asked[0]
    second = create()
    receiver.decide = None
    seconds_are_over()
    delete(first + second)
    assert TIMEOUT * 0.9 < waited < TIMEOUT + 0.5
    assert len(asked) == 1, "after a failure nobody asks again at once"
    assert [event["event"] for got in receiver.got for event in got.events] == ["created"] * 2 + ["deleted"] * 2
