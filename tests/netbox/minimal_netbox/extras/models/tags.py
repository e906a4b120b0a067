"""extras.Tag and extras.TaggedItem."""

from django.db import models
from utilities.bases import ChangeLogged


class Tag(ChangeLogged):
    """A tag; its instance hangs on the `url` of a tag in a job's data."""

    name = models.CharField(max_length=100)
    slug = models.SlugField(max_length=100)
    color = models.CharField(max_length=6, default="9e9e9e")
    description = models.CharField(max_length=200, blank=True)
    weight = models.PositiveSmallIntegerField(default=1000)

    class Meta:
        app_label = "extras"

    def __str__(self):
        return self.name


class TaggedItem(models.Model):
    """Which object has which tag."""

    tag = models.ForeignKey(Tag, on_delete=models.CASCADE, related_name="items")
    content_type = models.ForeignKey("contenttypes.ContentType", on_delete=models.CASCADE)
    object_id = models.IntegerField()

    class Meta:
        app_label = "extras"
