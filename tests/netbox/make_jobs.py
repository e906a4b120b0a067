#!/usr/bin/env python3
"""Makes queued webhook jobs in the shape of every NetBox version taken over, and what NetBox's worker sends for each.

    python3 -m venv venv && venv/bin/pip install Django==5.2.9 djangorestframework==3.16.1
    venv/bin/python tests/netbox/make_jobs.py 4 tests/fixtures/netbox/rq/made

and once more with Django==4.1.4 djangorestframework==3.14.0 and "3" for the versions that ran on those. Django and REST
framework are the real ones, so their classes pickle as they do in NetBox and their encoder writes the expected text;
NetBox's own classes are stand-ins of the same name. All secrets are made up. Equal runs give equal files.
"""
import collections
import datetime
import decimal
import enum
import json
import math
import pathlib
import pickle
import random
import struct
import sys
import types
import uuid
import zlib
import zoneinfo

import django
from django.conf import settings

settings.configure(INSTALLED_APPS=[], USE_TZ=True, DEFAULT_AUTO_FIELD="django.db.models.BigAutoField", SECRET_KEY="-")
django.setup()

from django.contrib.auth.base_user import AbstractBaseUser  # noqa: E402
from django.db import models  # noqa: E402
from django.http import QueryDict  # noqa: E402
from django.utils.datastructures import MultiValueDict  # noqa: E402
from django.utils.functional import SimpleLazyObject, lazystr  # noqa: E402
from django.utils.safestring import mark_safe  # noqa: E402
from django.utils.translation import gettext_lazy, ngettext_lazy, pgettext_lazy  # noqa: E402
from rest_framework.relations import Hyperlink  # noqa: E402
from rest_framework.utils.encoders import JSONEncoder  # noqa: E402
from rest_framework.utils.serializer_helpers import ReturnDict, ReturnList  # noqa: E402

UTC = datetime.timezone.utc
HASH = "pbkdf2_sha256$600000$madeupsalt$" + "bWFkZSB1cCBoYXNoIG9mIG5vIHBhc3N3b3Jk"
COOKIES = {"csrftoken": "madeupcsrf", "sessionid": "madeupsession0123456789abcdef0123"}
REQUEST_ID = uuid.UUID("af408c82-1ce9-44b5-9430-006930e6ba80")
TIMESTAMP = "2026-11-23T19:43:03.185604+00:00"


def model(app, name, base=models.Model, /, **fields):
    meta = type("Meta", (), {"app_label": app})
    body = {"__module__": f"{app}.models", "Meta": meta, **fields}
    return type(name, (base,), body)


text, flag, number = models.TextField, models.BooleanField, models.IntegerField
User = model("users", "User", AbstractBaseUser, username=text(), email=text(), USERNAME_FIELD="username")
Site = model("dcim", "Site", name=text(), __str__=lambda self: self.name)
ObjectType = model("core", "ObjectType", app_label=text(), model=text(), public=flag())
Webhook = model(
    "extras", "Webhook", name=text(), payload_url=text(), secret=text(), conditions=models.JSONField(null=True),
    additional_headers=text(), created=models.DateTimeField(null=True),
)
EventRule = model(
    "extras", "EventRule", name=text(), conditions=models.JSONField(null=True), action_type=text(),
    action_object_id=models.BigIntegerField(), action_data=models.JSONField(null=True),
    created=models.DateTimeField(null=True),
)


def stand_in(module, name, base=object, **body):
    made = type(name, (base,), {"__module__": module, **body})
    home = sys.modules.setdefault(module, types.ModuleType(module))
    setattr(home, name, made)
    parent, _, child = module.rpartition(".")
    if parent:
        setattr(sys.modules.setdefault(parent, types.ModuleType(parent)), child, home)
    return made


FakeRequest = stand_in("utilities.request", "NetBoxFakeRequest")
IPNetwork = stand_in("netaddr.ip", "IPNetwork")
PluginValue = stand_in("netbox_plugin.fields", "PluginValue")


class Colour(enum.Enum):
    RED = "red"


Colour.__module__ = "netbox_plugin.choices"
stand_in("netbox_plugin.choices", "Unused")
sys.modules["netbox_plugin.choices"].Colour = Colour

user = User(id=1, username="adm\u00edn", password=HASH, email="secret@example.com")
site = Site(id=54, name="RQ Sit\u00e9")


def webhook(conditions=None):
    return Webhook(
        id=7, name="hook", payload_url="http://127.0.0.1:8010/hook", secret="madeupsecret", conditions=conditions,
        additional_headers="Authorization: Token madeuptoken", created=datetime.datetime(2026, 1, 2, tzinfo=UTC),
    )


def rule(action_data=None, cached=False):
    made = EventRule(
        id=3, name="rule all", action_type="webhook", action_object_id=7, action_data=action_data,
        created=datetime.datetime(2026, 1, 2, tzinfo=UTC),
    )
    if cached:
        # From 4.7 on the webhook has been looked up before the job is queued.
        made._state.fields_cache["action_object"] = webhook()
    return made


def query(text):
    return QueryDict(text)


def request(get="", session=True, id=REQUEST_ID, **more):
    made = FakeRequest()
    made.__dict__ = {
        "META": {"HTTP_HOST": "127.0.0.1:8000", "QUERY_STRING": get, "REMOTE_ADDR": "127.0.0.1"},
        "COOKIES": dict(COOKIES),
        "POST": query("csrfmiddlewaretoken=madeupcsrf&password=madeuppassword"),
        "GET": query(get),
        "user": SimpleLazyObject(lambda: user) if session else user,
        "method": "POST",
        "path": "/dcim/sites/54/edit/",
        **more,
        "id": id,
    }
    return made


def site_data():
    """As REST framework's serializer leaves it: its own dictionary on top, OrderedDict or dict below."""
    below = collections.OrderedDict if django.VERSION < (5,) else dict
    return ReturnDict([
        ("id", 54),
        ("url", Hyperlink("/api/dcim/sites/54/", site)),
        ("display", "RQ Sit\u00e9"),
        ("status", below([("value", "active"), ("label", gettext_lazy("Active"))])),
        ("latitude", decimal.Decimal("52.520000")),
        ("tags", ReturnList([below([("id", 2), ("name", "rq")])], serializer=None)),
        ("custom_fields", {"since": datetime.date(2026, 11, 23), "cost": decimal.Decimal("12.5"), "none": None}),
        ("created", "2026-11-23T19:43:02.819654Z"),
        ("circuit_count", 0),
    ], serializer=None)


SNAPSHOTS = {
    "prechange": {"name": "RQ Sit\u00e9", "latitude": "52.520000", "asns": [], "tags": ["rq"]},
    "postchange": {"name": "RQ Sit\u00e9 2", "latitude": "52.520000", "asns": [1, 2], "tags": ["rq"]},
}


class Maker:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)

    def write(self, name, function, arguments, expected, protocol=5):
        packed = pickle.dumps((function, None, (), arguments), protocol=protocol)
        (self.folder / f"{name}.data.zlib").write_bytes(zlib.compress(packed))
        expected = json.dumps(expected, indent=1, ensure_ascii=False)
        (self.folder / f"{name}.expected.json").write_text(expected + "\n", encoding="utf-8")

    def job(self, name, function, arguments, body, protocol=5, **facts):
        """`body`: what the worker's function makes of the arguments."""
        def dumped(value):
            return json.dumps(value, cls=JSONEncoder)

        expected = {
            "body": dumped(body),
            "data": dumped(body["data"]),
            "snapshots": dumped(body["snapshots"]) if "snapshots" in body else None,
            "request": dumped(body["request"]) if "request" in body else None,
            **facts,
        }
        self.write(name, function, arguments, expected, protocol)

    # process_webhook, 2.11 to 3.6

    def process(self, name, event, sent, data, snapshots=SNAPSHOTS, conditions=None, stamp=TIMESTAMP, **more):
        arguments = {
            "webhook": webhook(conditions), "model_name": "site", "event": event, "data": data, "snapshots": snapshots,
            "timestamp": stamp, "username": "adm\u00edn", "request_id": REQUEST_ID, **more,
        }
        if snapshots is None:
            del arguments["snapshots"], arguments["request_id"]
        body = {
            "event": sent, "timestamp": stamp, "model": "site", "username": arguments["username"],
            "request_id": arguments.get("request_id"), "data": data,
        }
        if snapshots:
            body["snapshots"] = snapshots
        self.job(name, "extras.webhooks_worker.process_webhook", arguments, body, webhook_id=7, rule=None,
                 object_type="dcim.site" if snapshots else None, event=sent,
                 conditions=json.dumps(conditions) if conditions else None)

    # send_webhook, 3.7 to 4.3

    def send_by_name(self, name, key, event, sent, data, snapshots=SNAPSHOTS, username="adm\u00edn", action_data=None):
        merged = {**action_data, **data} if action_data is not None else data
        made = rule(merged if action_data is not None else None)
        arguments = {
            "event_rule": made, "model_name": "site", key: event, "data": merged, "snapshots": snapshots,
            "timestamp": TIMESTAMP, "username": username,
        }
        if snapshots:
            arguments["request_id"] = REQUEST_ID
        body = {
            "event": sent, "timestamp": TIMESTAMP, "model": "site", "username": username,
            "request_id": arguments.get("request_id"), "data": merged,
        }
        if snapshots:
            body["snapshots"] = snapshots
        self.job(name, "extras.webhooks.send_webhook", arguments, body, webhook_id=7, rule=3,
                 object_type="dcim.site" if snapshots else None, event=sent)

    # send_webhook, from 4.4

    def send(self, name, version, event, sent, data, snapshots=SNAPSHOTS, asked=None, protocol=5, cached=False):
        username = "adm\u00edn" if asked else None
        arguments = {
            "event_rule": rule(cached=cached),
            "object_type": ObjectType(id=6, app_label="dcim", model="site", public=True),
            "event_type": event, "data": data, "snapshots": snapshots, "timestamp": TIMESTAMP,
        }
        body = {"event": sent, "timestamp": TIMESTAMP, "object_type": "dcim.site"}
        if version < (4, 5):
            body["model"] = "site"
        if version < (4, 7):
            arguments["username"] = body["username"] = username
            body["request_id"] = asked.id if asked else None
        if asked:
            arguments["request"] = asked
        body["data"] = data
        if asked and version == (4, 6):
            body["request"] = {
                "id": str(asked.id) if asked.id else None, "method": asked.method, "path": asked.path,
                "user": asked.user.username,
            }
        if asked and version == (4, 7):
            body["request"] = {
                "id": str(asked.id), "path": asked.path, "path_info": asked.path_info, "method": asked.method,
                "GET": asked.GET, "user": asked.user.username,
            }
        if snapshots:
            body["snapshots"] = snapshots
        self.job(name, "extras.webhooks.send_webhook", arguments, body, protocol, webhook_id=7, rule=3,
                 object_type="dcim.site", event=sent)

    def refused(self, name, data, error, function="extras.webhooks.send_webhook", event="object_created"):
        arguments = {
            "event_rule": rule(), "object_type": ObjectType(id=6, app_label="dcim", model="site", public=True),
            "event_type": event, "data": data, "snapshots": None, "timestamp": TIMESTAMP, "username": "adm\u00edn",
            "request": request(),
        }
        self.write(name, function, arguments, {"error": error})


def jobs_of_3(maker):
    condition = {"and": [{"attr": "status.value", "value": "active"}, {"attr": "latitude", "op": "gt", "value": 1.5}]}
    spaced = "2026-11-23 19:43:03.185604+00:00"
    maker.process("v3.4-created", "create", "created", site_data(), {"prechange": None, "postchange": {"name": "x"}},
                  stamp=spaced)
    maker.process("v3.4-updated-conditions", "update", "updated", site_data(), conditions=condition, stamp=spaced)
    maker.process("v3.5-job-started", "job_start", "job_started", {"target": "x"}, None, username=None)
    maker.process("v3.5-job-ended-no-data", "job_end", "job_ended", None, None)
    maker.process("v3.6-deleted", "delete", "deleted", site_data(), {"prechange": {"name": "x"}, "postchange": None})
    maker.send_by_name("v3.7-created", "event", "create", "created", site_data())
    maker.send_by_name("v3.7-job-ended", "event", "job_end", "job_ended", {"log": [1, "two", None]}, None)
    maker.send_by_name("v3.7-job-started-by-nobody", "event", "job_start", "job_started", {}, None, username=None)


def jobs_of_4(maker):
    maker.send_by_name("v4.0-updated", "event", "update", "updated", site_data())
    maker.send_by_name("v4.1-updated", "event_type", "object_updated", "updated", site_data())
    maker.send_by_name("v4.3-deleted-action-data", "event_type", "object_deleted", "deleted", dict(site_data()),
                       action_data={"team": "net", "id": "overridden"})
    maker.send_by_name("v4.3-job-errored", "event_type", "job_errored", "job_ended", {"e": 1}, None)
    maker.send("v4.4-updated-session", (4, 4), "object_updated", "updated", dict(site_data()), asked=request("a=1"))
    maker.send("v4.4-job-completed", (4, 4), "job_completed", "job_ended", {"output": "done"}, None)
    maker.send("v4.5-deleted", (4, 5), "object_deleted", "deleted", dict(site_data()), asked=request(session=False))
    files = {"FILES": MultiValueDict()}
    for protocol in (2, 3, 4, 5):
        maker.send(f"v4.6-created-protocol{protocol}", (4, 6), "object_created", "created", dict(site_data()),
                   asked=request("q=%C3%A9&q=2", **files), protocol=protocol)
    maker.send("v4.6-no-request-id", (4, 6), "object_updated", "updated", {"id": 1}, asked=request(id=None))
    asked = request("q=%C3%A9&q=%222%22&empty=&r=x", path_info="/dcim/sites/54/edit/", **files)
    maker.send("v4.7-updated", (4, 7), "object_updated", "updated", dict(site_data()), asked=asked, cached=True)
    maker.send("v4.7-job-started", (4, 7), "job_started", "job_started", {}, None, cached=True)
    for name, data in kinds().items():
        maker.send(f"kinds-{name}", (4, 6), "object_updated", "updated", data, asked=request(**files))
    refused(maker)


def kinds():
    """Everything REST framework's encoder writes, and every length pickles write differently."""
    chance = random.Random(1)
    bits = [chance.getrandbits(64) for _ in range(400)]
    floats = [struct.unpack("<d", number.to_bytes(8, "little"))[0] for number in bits]
    floats = [f for f in floats if math.isfinite(f)]
    near = [round(chance.uniform(-1000, 1000), n) for n in range(12) for _ in range(10)]
    east = datetime.timezone(datetime.timedelta(hours=5, minutes=30))
    odd = datetime.timezone(-datetime.timedelta(hours=1, minutes=2, seconds=3, microseconds=4))
    shared = {"list": [1, 2]}
    return {
        "numbers": {
            "floats": [0.0, -0.0, 1.0, 0.1, 1e15, 1e16, 123456789012345680.0, 1e22, 1e-4, 1e-5, 5e-324,
                       1.7976931348623157e308, 2**53 + 2.0, 100.0, 0.30000000000000004, *near, *floats],
            "integers": [0, 1, -1, 255, 256, 65535, 65536, 2**31 - 1, 2**31, -2**31, 2**63 - 1, 2**63, -2**63,
                         -2**63 - 1, 2**64, -2**64, 10**40, -10**40, 10**4000, -(10**4200) + 1, 2**2047, -2**2047,
                         *(chance.getrandbits(n) - chance.getrandbits(n) for n in range(1, 400, 7))],
            "decimals": [decimal.Decimal(t) for t in (
                "52.500000", "0", "-0", "1E+3", "1E-7", "0.1", "-7.10", "1E+300", "3.0", "12345678901234567890",
            )],
            "booleans": [True, False, None],
        },
        "times": {
            "dates": [datetime.date(2026, 11, 23), datetime.date(1, 1, 1), datetime.date(9999, 12, 31)],
            "naive": [datetime.datetime(2026, 11, 23, 1, 2, 3), datetime.datetime(2026, 11, 23, 1, 2, 3, 40)],
            "aware": [datetime.datetime(2026, 11, 23, 1, 2, 3, 456000, tzinfo=z) for z in (UTC, east, odd)],
            "fold": datetime.datetime(2026, 10, 25, 2, 30, fold=1),
            "clock": [datetime.time(1, 2, 3), datetime.time(23, 59, 59, 999999), datetime.time(2, 30, fold=1)],
            "spans": [datetime.timedelta(0), datetime.timedelta(hours=1), datetime.timedelta(days=-1, microseconds=1),
                      datetime.timedelta.max, datetime.timedelta.min, datetime.timedelta(milliseconds=1500)],
        },
        "texts": {
            "escapes": "\"\\/\b\f\n\r\t\x00\x1f\x7f\x80\u2028\u00e9\u20ac\U0001f600 ~",
            "long": "x" * 300, "longer": "\u00e9" * 4_000, "empty": "",
            "safe": mark_safe("<b>safe</b>"), "lazy": lazystr("lazy"), "in context": pgettext_lazy("context", "Text"),
            "lines": gettext_lazy("one\r\ntwo\rthree"), "empty lazy": gettext_lazy(""),
            "bytes": "b\u00e9".encode(), "many bytes": b"y" * 300, "id": REQUEST_ID, "small id": uuid.UUID(int=5),
            mark_safe("<key>"): 1, "\u00e9 key": 2,
        },
        "collections": {
            "list": list(range(2500)), "tuple": (1, (2,), (3, 4), (5, 6, 7), (8, 9, 10, 11), ()), "set": {7},
            "frozenset": frozenset(["x"]), "empty set": set(), "many": {str(n): n for n in range(2500)},
            "ordered": collections.OrderedDict([("b", 1), ("a", collections.OrderedDict())]),
            "default": collections.defaultdict(list, {"x": [1]}), "shared": [shared, shared, shared],
            "keys": {1: "one", 2.5: "float", None: "none", True: "overwrites one", 10**30: "long"},
            "deep": json.loads("[" * 90 + "]" * 90),
            "returned": ReturnDict({"x": ReturnList([1], serializer=None)}, serializer=None),
            "url": Hyperlink("/api/x/", site), "query": query("").dict(), "chars": list("abc" * 5),
        },
    }


def refused(maker):
    berlin = datetime.datetime(2026, 11, 23, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin"))
    recursive = []
    recursive.append(recursive)
    deep = {}
    for _ in range(150):
        deep = {"in": deep}
    plural = ngettext_lazy("%(n)d thing", "%(n)d things", "n")
    unknown = {"a": IPNetwork(), "b": [PluginValue(), IPNetwork()], "c": Colour.RED, "site": site, "zone": berlin}
    maker.refused("refused-classes", unknown, "netaddr.ip.IPNetwork, netbox_plugin.fields.PluginValue, "
                  "netbox_plugin.choices.Colour, dcim.Site, zoneinfo.ZoneInfo")
    maker.refused("refused-class-itself", {"a": IPNetwork}, "netaddr.ip.IPNetwork")
    maker.refused("refused-key", {user: 1}, "whose name is no text")
    maker.refused("refused-nan", {"a": float("nan")}, "infinite or none")
    maker.refused("refused-infinite-decimal", {"a": decimal.Decimal("-Infinity")}, "infinite or none")
    maker.refused("refused-aware-time", {"a": datetime.time(1, tzinfo=UTC)}, "a time of day with a zone")
    maker.refused("refused-recursive", {"a": recursive}, "levels of nesting")
    maker.refused("refused-deep", deep, "levels of nesting")
    maker.refused("refused-plural", {"a": plural}, "django.utils")
    maker.refused("refused-huge-integer", {"a": 10**4300}, "more than 4300 digits")
    maker.refused("refused-bytes", {"a": b"\xff"}, "not UTF-8")
    maker.refused("refused-surrogate", {"a": "\ud800"}, "not UTF-8")
    maker.refused("refused-function", {}, "calls extras.scripts.run_script", "extras.scripts.run_script")
    maker.refused("refused-event-type", {}, "netbox_plugin.happened", event="netbox_plugin.happened")


if __name__ == "__main__":
    {"3": jobs_of_3, "4": jobs_of_4}[sys.argv[1]](Maker(sys.argv[2]))
