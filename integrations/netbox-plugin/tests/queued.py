"""Events as NetBox queues them, in the shapes of its versions."""

import uuid
from collections import UserDict

REQUEST_ID = uuid.UUID("04739cff-93b5-45f8-94dc-7b3ae6f4566f")


class Kind:
    """What is used of an ObjectType."""

    def __init__(self, app_label="dcim", model="site", pk=7, logged=True):
        self.app_label = app_label
        self.model = model
        self.pk = pk
        self.logged = logged

    def model_class(self):
        return type("Model", (), {"to_objectchange": None} if self.logged else {})


class User:
    username = "admin"

    def __str__(self):
        return self.username


class Request:
    id = REQUEST_ID
    user = User()
    method = "POST"
    path = "/api/dcim/sites/"


class LazyData(UserDict):
    """As EventContext of 4.5.2 and later: `data` exists only once it is read by subscript."""

    def __init__(self, values, make):
        super().__init__(values)
        self.make = make

    def __getitem__(self, key):
        if key == "data" and "data" not in self.data:
            self.data["data"] = self.make()
        return self.data[key]


def queued(name="a", number=1, kind=None, **more):
    """As of 4.4: with the request, and the legacy keys beside it."""
    return {
        "object_type": kind or Kind(),
        "object_id": number,
        "event_type": "object_created",
        "data": {"id": number, "name": name},
        "snapshots": {"prechange": None, "postchange": {"name": name}},
        "request": Request(),
        "username": "admin",
        "request_id": REQUEST_ID,
        **more,
    }


def many(*names, **more):
    return [queued(name, number, **more) for number, name in enumerate(names, 1)]
