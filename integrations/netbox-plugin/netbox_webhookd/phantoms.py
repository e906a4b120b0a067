"""Leaves out events of changes that were rolled back.

A REST request that fails after some of its objects were written (a bulk request whose second object is refused) is
rolled back as a whole, but NetBox keeps the events of the first ones (seen on 3.7.8 to 4.6.8; 4.7.0-beta1 discards
them itself). Its changelog is rolled back with the change: an object with no ObjectChange of this request was not
changed by it.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from typing import Any

from . import batch

logger = logging.getLogger("netbox.plugins.netbox_webhookd")


def without_phantoms(queue: list[Any]) -> list[Any]:
    """One query per request id. If it fails, everything is forwarded: a phantom is better than a loss."""
    try:
        requests: dict[str, list[Any]] = defaultdict(list)
        for queued in queue:
            requests[batch.request_id(queued) or ""].append(queued)
        changed = {key: changed_objects(key) for key in requests if key}
        return [q for q in queue if _is_real(q, changed.get(batch.request_id(q) or ""))]
    except Exception:
        logger.exception("cannot look for events of rolled-back changes, all %d are forwarded", len(queue))
        return queue


def changed_objects(request_id: str) -> set[tuple[int, int]]:
    """Type and id of every object that the changelog knows this request to have changed."""
    from django.db import connections, router

    model = _object_change()
    # Where it was written: a replica may not have it yet.
    connection = connections[router.db_for_write(model)]
    # Without the ORM, which would take longer than the database.
    table = connection.ops.quote_name(model._meta.db_table)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT changed_object_type_id, changed_object_id FROM {table} WHERE request_id = %s", [request_id]
        )
        return set(cursor.fetchall())


def _object_change() -> Any:
    try:
        from core.models import ObjectChange
    except ImportError:  # before NetBox 4.1
        from extras.models import ObjectChange
    return ObjectChange


def _is_real(queued: Any, changed: Any) -> bool:
    kind = batch.object_type(queued)
    if changed is None or (kind.pk, queued["object_id"]) in changed:
        return True
    if _is_unchanged(queued) or not _is_logged(kind):
        return True
    logger.info(
        "left out: %s of %s %s was rolled back", batch.event_type(queued), batch.label(queued), queued["object_id"]
    )
    return False


def _is_unchanged(queued: Any) -> bool:
    """Saved without a change: NetBox writes no changelog, but sends webhooks. True even if rolled back."""
    if batch.event_type(queued) != "updated":
        return False
    snapshots = queued.get("snapshots") or {}
    before, after = snapshots.get("prechange"), snapshots.get("postchange")
    return before is not None and after is not None and _compared(before) == _compared(after)


def _compared(snapshot: Any) -> dict[str, Any]:
    return {key: value for key, value in snapshot.items() if key != "last_updated"}


def _is_logged(kind: Any) -> bool:
    """Objects without a changelog leave no trace to look for."""
    return hasattr(kind.model_class(), "to_objectchange")
