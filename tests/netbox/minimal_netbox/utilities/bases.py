"""What the models of this project share; the columns are those whose names appear in NetBox's pickles."""

from django.db import models
from utilities.querysets import RestrictedQuerySet


class ChangeLogged(models.Model):
    """Created, updated, and the message a user may give for the change."""

    created = models.DateTimeField(null=True)
    last_updated = models.DateTimeField(null=True)

    objects = RestrictedQuerySet.as_manager()

    class Meta:
        abstract = True

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._changelog_message = ""


class Primary(ChangeLogged):
    """A NetBox object with custom fields and texts."""

    custom_field_data = models.JSONField(default=dict)
    description = models.CharField(max_length=200, blank=True)
    comments = models.TextField(blank=True)

    class Meta:
        abstract = True


class Named(Primary):
    """A NetBox object with a name and a slug."""

    name = models.CharField(max_length=100)
    slug = models.SlugField(max_length=100)

    class Meta:
        abstract = True

    def __str__(self):
        return self.name
