"""Arguments of `extras.webhooks.send_webhook` as NetBox 4.4 enqueues them, object for object.

Needs Django set up with `minimal_settings`. Compared with captured jobs by `test_rq_side.py`.
"""

import uuid
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from functools import cache
from zoneinfo import ZoneInfo

from core.models import ObjectType
from dcim.models import Site
from django.contrib.contenttypes.models import ContentType
from django.http import QueryDict
from django.utils.translation import gettext_lazy
from extras.models import CustomField, EventRule, Tag
from rest_framework.relations import Hyperlink
from strawberry_django.queryset import StrawberryDjangoQuerySetConfig
from users.models import User
from utilities.request import NetBoxFakeRequest

FUNCTION = "extras.webhooks.send_webhook"
EVENTS = ("object_created", "object_updated", "object_deleted", "job_started", "job_completed")

_SITE_TYPE_ID = 61
_CREATED = datetime(2026, 1, 2, 3, 4, 5, 819654, tzinfo=timezone.utc)
_STATUS = {"active": gettext_lazy("Active"), "planned": gettext_lazy("Planned")}
_COUNTS = ("circuit_count", "device_count", "prefix_count", "rack_count", "virtualmachine_count", "vlan_count")


def webhook_job(webhook_id, event, number, objects):
    """Keyword arguments of job `number` (from 0), about site `number % objects + 1`.

    `data["description"]` is "change NNNNNN", so a receiver sees order and loss.
    """
    kwargs = {
        "event_rule": _event_rule(webhook_id, event),
        "object_type": _object_type(),
        "event_type": event,
        "timestamp": datetime.now(timezone.utc).isoformat(),
        "username": "admin",
    }
    if event.startswith("job_"):
        # NetBox sends job events without request and snapshots: there was neither.
        return kwargs | {"data": {"number": number}}
    site = _site(number % objects + 1, number, event)
    return kwargs | {
        "data": _data(site, event),
        "snapshots": _snapshots(site, event),
        "request": _request(event),
    }


def _loaded(instance):
    """Marks an instance as read from the database: pickles carry that state."""
    instance._state.adding = False
    instance._state.db = "default"
    return instance


@cache
def _object_type():
    return _loaded(
        ObjectType(
            id=_SITE_TYPE_ID,
            contenttype_ptr_id=_SITE_TYPE_ID,
            app_label="dcim",
            model="site",
            public=True,
            features=[
                "bookmarks",
                "change_logging",
                "cloning",
                "contacts",
                "custom_fields",
                "custom_links",
                "custom_validation",
                "event_rules",
                "export_templates",
                "image_attachments",
                "journaling",
                "notifications",
                "tags",
            ],
        )
    )


@cache
def _event_rule(webhook_id, event):
    return _loaded(
        EventRule(
            id=webhook_id + 100,
            created=_CREATED,
            last_updated=_CREATED,
            name=f"rule {webhook_id}",
            event_types=[event],
            action_type="webhook",
            action_object_type_id=34,
            action_object_id=webhook_id,
        )
    )


@cache
def _user():
    # The hash must never show up in a log, a page or a store of the program under test.
    return _loaded(
        User(
            id=1,
            username="admin",
            password="pbkdf2_sha256$1000000$notARealSalt$bm90IGEgcmVhbCBwYXNzd29yZCBoYXNo",
            email="admin@example.com",
            is_superuser=True,
            date_joined=_CREATED,
        )
    )


@cache
def _tag():
    tag = _loaded(Tag(id=2, name="rq", slug="rq", created=_CREATED, last_updated=_CREATED))
    tag._prefetch_related_val = 2
    return tag


def _request(event):
    method = {"object_created": "POST", "object_updated": "PATCH", "object_deleted": "DELETE"}[event]
    return NetBoxFakeRequest(
        {
            "META": {
                "CONTENT_LENGTH": "43",
                "CONTENT_TYPE": "application/json",
                "HTTP_ACCEPT": "*/*",
                "HTTP_ACCEPT_ENCODING": "identity",
                "HTTP_HOST": "127.0.0.1:8001",
                "HTTP_USER_AGENT": "python-requests/2.32.5",
                "QUERY_STRING": "",
                "REMOTE_ADDR": "127.0.0.1",
                "REQUEST_METHOD": method,
                "SERVER_NAME": "localhost",
                "SERVER_PORT": "8001",
            },
            "COOKIES": {"sessionid": "session-cookie-not-to-be-shown"},
            "POST": QueryDict(),
            "GET": QueryDict(),
            "user": _user(),
            "method": method,
            "path": "/api/dcim/sites/",
            "id": uuid.uuid4(),
        }
    )


def _evaluated(queryset, rows):
    """A query set as left behind by serialisation: evaluated, with its whole query."""
    # Filters of related managers are applied only when the query is asked for.
    _ = queryset.query
    queryset._result_cache = rows
    queryset._prefetch_done = True
    queryset._strawberry_django_config = StrawberryDjangoQuerySetConfig()
    return queryset


@cache
def _custom_fields():
    fields = CustomField.objects.filter(object_types=_loaded(ContentType(id=_SITE_TYPE_ID)))
    # Compiling leaves cached properties on the query's nodes; it needs no database.
    str(fields.query)
    return _evaluated(fields, [])


def _site(pk, number, event):
    site = _loaded(
        Site(
            id=pk,
            created=_CREATED,
            last_updated=_CREATED + timedelta(seconds=number),
            description=f"change {number:06}",
            name=f"Sité {pk}",
            slug=f"site-{pk}",
            status="active" if event == "object_created" else "planned",
            time_zone=ZoneInfo("Europe/Berlin"),
            latitude=Decimal("52.500000"),
        )
    )
    site.custom_fields = _custom_fields()
    site._prefetched_objects_cache = {}
    if event != "object_created":
        _prefetch(site)
    return site


def _prefetch(site):
    """What NetBox leaves on an object read from the database before a change."""
    site._prechange_snapshot = _columns(site)
    site._m2m_values = {}
    site._tags = [_tag()]
    for name in _COUNTS:
        setattr(site, name, 0)
    # The related manager's query set keeps the site as a hint: this is the recursion in NetBox's pickles.
    asns = _evaluated(site.asns.all(), [])
    tags = Tag.objects.filter(
        items__content_type__app_label="dcim", items__content_type__model="site", items__object_id=site.pk
    )
    site._prefetched_objects_cache = {"asns": asns, "tags": _evaluated(tags, [_tag()])}


def _data(site, event):
    """The REST representation. Hyperlinks, lazy labels and decimals stay what they are until JSON is made."""
    url = f"/dcim/sites/{site.pk}/"
    data = {
        "id": site.pk,
        "url": Hyperlink(f"/api{url}", site),
        "display_url": Hyperlink(url, site),
        "display": site.name,
        "name": site.name,
        "slug": site.slug,
        "status": {"value": site.status, "label": _STATUS[site.status]},
        "region": None,
        "group": None,
        "tenant": None,
        "facility": "",
        "time_zone": "Europe/Berlin",
        "description": site.description,
        "physical_address": "",
        "shipping_address": "",
        "latitude": site.latitude,
        "longitude": None,
        "comments": "",
        "asns": [],
        "tags": [_tag_data()],
        "custom_fields": {},
        "created": _z(site.created, "microseconds"),
        "last_updated": _z(site.last_updated, "microseconds"),
    }
    return data if event == "object_created" else data | dict.fromkeys(_COUNTS, 0)


def _tag_data():
    tag = _tag()
    return {
        "id": tag.pk,
        "url": Hyperlink(f"/api/extras/tags/{tag.pk}/", tag),
        "display_url": Hyperlink(f"/extras/tags/{tag.pk}/", tag),
        "display": tag.name,
        "name": tag.name,
        "slug": tag.slug,
        "color": tag.color,
    }


def _columns(site):
    """The row as a snapshot holds it: raw values, decimals as text, milliseconds."""
    return {
        "created": _z(site.created, "milliseconds"),
        "description": site.description,
        "comments": "",
        "name": site.name,
        "slug": site.slug,
        "status": "active",
        "region": None,
        "group": None,
        "tenant": None,
        "facility": "",
        "time_zone": "Europe/Berlin",
        "physical_address": "",
        "shipping_address": "",
        "latitude": str(site.latitude),
        "longitude": None,
        "asns": [],
        "custom_fields": {},
        "tags": ["rq"],
    }


def _snapshots(site, event):
    before = _columns(site)
    after = before | {"last_updated": _z(site.last_updated, "milliseconds"), "status": site.status}
    return {
        "prechange": None if event == "object_created" else before,
        "postchange": None if event == "object_deleted" else after,
    }


def _z(moment, precision):
    return moment.isoformat(timespec=precision).replace("+00:00", "Z")
