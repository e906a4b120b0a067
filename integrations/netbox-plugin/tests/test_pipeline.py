import logging

import pytest
import redis
from queued import Kind, many, queued
from receiver import Answer

from netbox_webhookd import phantoms, pipeline
from netbox_webhookd.pipeline import forward_events


def test_the_events_of_a_request_are_one_batch(configured, receiver):
    configured()
    forward_events(many("a", "b", "c"))
    assert [got.names for got in receiver.got] == [["a", "b", "c"]]


def test_nothing_to_forward_is_no_request(configured, receiver):
    configured(exclude_models=["dcim.site"])
    forward_events([])
    forward_events(many("a"))
    assert receiver.got == []


def test_unwanted_models_are_not_even_serialised(configured, receiver):
    class Untouchable(dict):
        def __getitem__(self, key):
            assert key != "data"
            return super().__getitem__(key)

    configured(exclude_models=["dcim.rack"])
    forward_events([Untouchable(queued("rack", kind=Kind(model="rack"))), queued("site")])
    assert receiver.names == ["site"]


def test_event_types_of_plugins_are_left_out(configured, receiver):
    configured()
    forward_events([queued("a", event_type="my_plugin.exploded"), queued("b", event_type="object_deleted")])
    assert receiver.names == ["b"]


@pytest.mark.parametrize(("drop", "expected"), [(True, ["a"]), (False, ["a", "b"])])
def test_phantoms_are_dropped_if_wanted(configured, receiver, monkeypatch, drop, expected):
    monkeypatch.setattr(phantoms, "changed_objects", lambda request_id: {(7, 1)})
    configured(drop_phantoms=drop)
    forward_events(many("a", "b"))
    assert receiver.names == expected


@pytest.mark.parametrize("events", [None, [{"event_type": "object_created"}], ["text"]])
def test_no_exception_reaches_netbox(configured, events, caplog):
    configured()
    with caplog.at_level(logging.ERROR):
        forward_events(events)
    assert "are not forwarded" in caplog.text


def test_not_even_for_wrong_settings(configured, caplog):
    configured()
    pipeline.django_settings.PLUGINS_CONFIG["netbox_webhookd"] = {"url": "nonsense"}
    forward_events(many("a"))
    assert "'url' must be" in caplog.text


def test_but_an_interrupt_does(configured, receiver, monkeypatch):
    configured()

    def interrupted(queue):
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline.batch, "encode", interrupted)
    with pytest.raises(KeyboardInterrupt):
        forward_events(many("a"))


def test_redis_takes_the_same_events(configured, redis_port, receiver):
    configured(transport="redis", redis={"PORT": redis_port}, stream="s")
    forward_events(many("a", "b"))
    with redis.Redis(port=redis_port) as client:
        assert client.xlen("s") == 2
    assert receiver.got == []


def test_a_redis_that_is_away_fills_the_spool(configured, redis_port, tmp_path):
    with redis.Redis(port=redis_port) as client:
        configured(transport="redis", redis={"PORT": redis_port}, retry_after=0.1)
        client.config_set("maxmemory", 1)
        forward_events(many("a", "b"))
        assert len(list((tmp_path / "spool" / "queue").iterdir())) == 1
        client.config_set("maxmemory", 0)
        pipeline.current.forwarder.circuit.reset()
        forward_events(many("c"))
        assert client.xlen("netbox-webhookd:events") == 3


def test_a_forked_process_makes_its_own_forwarder(configured, monkeypatch):
    settings = configured()
    first = pipeline.current.get(settings)
    assert pipeline.current.get(settings) is first
    monkeypatch.setattr("netbox_webhookd.forwarder.os.getpid", lambda: -1)
    assert pipeline.current.get(settings) is not first


def test_one_bad_answer_spools_and_is_logged_once(configured, receiver, caplog):
    configured()
    receiver.script = [Answer(401, {"detail": "unknown token"})]
    for name in "abc":
        forward_events(many(name))
    assert caplog.text.count("answered 401: unknown token") == 1
