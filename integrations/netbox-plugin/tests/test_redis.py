import json

import pytest
import redis

from netbox_webhookd.batch import Event
from netbox_webhookd.redis_transport import RedisTransport
from netbox_webhookd.settings import Settings
from netbox_webhookd.transport import Unavailable

EVENTS = [Event(f"b-{n}", b'{"data": {"name": "%d"}}' % n) for n in range(3)]


def make(tmp_path, redis_options, **more):
    options = {"transport": "redis", "redis": redis_options, "spool_dir": str(tmp_path / "spool"), **more}
    settings = Settings.read(options)
    return RedisTransport(settings, settings.redis)


@pytest.mark.parametrize("form", ["names", "url"])
def test_each_event_is_an_entry_in_order(tmp_path, redis_port, form):
    url = {"URL": f"redis://127.0.0.1:{redis_port}/3"}
    given = url if form == "url" else {"HOST": "127.0.0.1", "PORT": redis_port, "DATABASE": 3}
    make(tmp_path, given).send(EVENTS, 1)
    with redis.Redis(port=redis_port, db=3) as client:
        entries = [fields for _, fields in client.xrange("netbox-webhookd:events")]
    assert [entry[b"id"] for entry in entries] == [b"b-0", b"b-1", b"b-2"]
    assert [json.loads(entry[b"event"])["data"]["name"] for entry in entries] == ["0", "1", "2"]


def test_a_batch_is_one_transaction(tmp_path, redis_port):
    transport = make(tmp_path, {"PORT": redis_port})
    with redis.Redis(port=redis_port) as client:
        transport.send(EVENTS, 1)
        stats = client.info("commandstats")
        assert (stats["cmdstat_multi"]["calls"], stats["cmdstat_exec"]["calls"]) == (1, 1)
        client.delete("netbox-webhookd:events")
        client.config_set("maxmemory", 1)
        with pytest.raises(Unavailable):
            transport.send(EVENTS, 1)
        client.config_set("maxmemory", 0)
        assert client.xlen("netbox-webhookd:events") == 0


def test_a_wrong_password_is_unavailable(tmp_path, redis_port):
    with pytest.raises(Unavailable):
        make(tmp_path, {"PORT": redis_port, "USERNAME": "x", "PASSWORD": "wrong"}).send(EVENTS, 1)


def test_a_paused_redis_costs_one_timeout_only(tmp_path, redis_port):
    import time

    transport = make(tmp_path, {"PORT": redis_port}, timeout=0.3)
    transport.send(EVENTS, 1)
    with redis.Redis(port=redis_port) as client:
        client.execute_command("CLIENT PAUSE", 5000, "WRITE")
        started = time.monotonic()
        with pytest.raises(Unavailable, match="Timeout"):
            transport.send(EVENTS, 1)
        assert time.monotonic() - started < 0.6
        client.execute_command("CLIENT UNPAUSE")
    transport.send(EVENTS, 1)
