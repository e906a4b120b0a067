"""core.ObjectType: a content type with NetBox's features (multi-table inheritance, as in NetBox 4.4)."""

from django.contrib.contenttypes.models import ContentType
from django.db import models


class ObjectType(ContentType):
    """The type of the object an event is about."""

    contenttype_ptr = models.OneToOneField(
        ContentType, on_delete=models.CASCADE, parent_link=True, primary_key=True, related_name="object_type"
    )
    public = models.BooleanField(default=False)
    features = models.JSONField(default=list)
