import json

import pytest

from netbox_webhookd import delivery
from netbox_webhookd.batch import Event
from netbox_webhookd.transport import Refused, Unavailable


def event(name, model="dcim.site"):
    return Event(name, json.dumps({"object_type": model, "data": {"name": name}}).encode())


class Picky:
    """Refuses some events as netbox-webhookd does: the batch as a whole, with the place of the first bad one."""

    def __init__(self, bad=(), models=(), largest=10_000):
        self.bad, self.models, self.largest = bad, models, largest
        self.taken = []
        self.sends = 0

    def send(self, events, seconds):
        self.sends += 1
        if len(events) > self.largest:
            raise Refused("answered 413: too much")
        for index, one in enumerate(events):
            if one.id in self.bad or json.loads(one.body)["object_type"] in self.models:
                raise Refused(f"answered 400: event {index}: bad", index)
        self.taken += [one.id for one in events]


def deliver(transport, events):
    rejected = delivery.deliver(transport, events, 5)
    return [one.id for part in rejected for one in part.events]


def test_a_refused_event_does_not_take_the_others_with_it():
    transport = Picky(bad=["b"])
    assert deliver(transport, [event("a"), event("b"), event("c")]) == ["b"]
    assert transport.taken == ["a", "c"]


def test_the_only_event_refused_leaves_nothing():
    transport = Picky(bad=["a"])
    assert deliver(transport, [event("a")]) == ["a"]
    assert transport.taken == []


def test_an_unknown_model_with_many_events_costs_few_requests():
    transport = Picky(models=["plugin.thing"])
    batch = [event(str(n), "plugin.thing" if n % 2 else "dcim.site") for n in range(200)]
    assert sorted(deliver(transport, batch), key=int) == [str(n) for n in range(200) if n % 2]
    assert transport.taken == [str(n) for n in range(200) if n % 2 == 0]
    assert transport.sends == 4


def test_too_much_at_once_is_halved_in_order():
    transport = Picky(largest=2)
    assert deliver(transport, [event(str(n)) for n in range(7)]) == []
    assert transport.taken == [str(n) for n in range(7)]


def test_one_event_that_is_too_much_by_itself_is_set_aside():
    transport = Picky(largest=0)
    assert deliver(transport, [event("a"), event("b")]) == ["a", "b"]


def test_requests_for_one_batch_are_bounded():
    transport = Picky(largest=0)
    assert len(deliver(transport, [event(str(n)) for n in range(500)])) == 500
    assert transport.sends == delivery.MAX_SENDS


def test_slow_answers_are_bounded_too(monkeypatch):
    clock = iter(range(0, 1000, 4))
    monkeypatch.setattr(delivery.time, "monotonic", lambda: next(clock))
    with pytest.raises(Unavailable, match="too slowly"):
        deliver(Picky(largest=1), [event(str(n)) for n in range(50)])
