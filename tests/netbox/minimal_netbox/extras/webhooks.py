"""extras.webhooks.send_webhook: the function NetBox's jobs name.

Sends what NetBox 4.4 sends, by the same libraries. The receiver comes from the environment instead of the database:
`RQ_SIDE_URL`, and `RQ_SIDE_SECRET` for a signed request.
"""

import hashlib
import hmac
import json
import os

import requests
from rest_framework.utils.encoders import JSONEncoder

_EVENTS = {
    "object_created": "created",
    "object_updated": "updated",
    "object_deleted": "deleted",
    "job_started": "job_started",
    "job_completed": "job_ended",
}


def send_webhook(event_rule, object_type, event_type, data, timestamp, username, request=None, snapshots=None):
    """Posts one event; a status other than 2xx raises, which fails the job.

    Key order, encoder and headers: NetBox 4.4, extras/webhooks.py.
    """
    context = {
        "event": _EVENTS.get(event_type, event_type),
        "timestamp": timestamp,
        "object_type": f"{object_type.app_label}.{object_type.model}",
        "model": object_type.model,
        "username": username,
        "request_id": request.id if request else None,
        "data": data,
    }
    if snapshots:
        context["snapshots"] = snapshots
    body = json.dumps(context, cls=JSONEncoder).encode()
    response = _post(body)
    if not 200 <= response.status_code <= 299:
        raise requests.exceptions.RequestException(
            f"Webhook {event_rule.action_object_id}: status {response.status_code}, body {response.content!r}"
        )
    return f"Webhook {event_rule.action_object_id}: status {response.status_code}"


def _post(body):
    """One connection per delivery, the request prepared without a session: hence urllib3's user agent."""
    prepared = requests.Request(
        "POST", os.environ["RQ_SIDE_URL"], headers={"Content-Type": "application/json"}, data=body
    ).prepare()
    secret = os.environ.get("RQ_SIDE_SECRET", "")
    if secret:
        prepared.headers["X-Hook-Signature"] = hmac.new(secret.encode(), prepared.body, hashlib.sha512).hexdigest()
    with requests.Session() as session:
        return session.send(prepared)
