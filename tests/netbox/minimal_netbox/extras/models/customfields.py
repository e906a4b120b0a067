"""extras.CustomField: only named in the query sets that NetBox leaves on serialised objects."""

from django.db import models
from utilities.bases import ChangeLogged


class CustomField(ChangeLogged):
    """The many-to-many table is what the pickles refer to."""

    object_types = models.ManyToManyField("contenttypes.ContentType", related_name="custom_fields")
    name = models.CharField(max_length=50)
    weight = models.PositiveSmallIntegerField(default=100)

    class Meta:
        app_label = "extras"
