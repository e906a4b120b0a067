"""tenancy.TenantGroup."""

from django.db import models
from utilities.bases import Named


class TenantGroup(Named):
    """A node of a tree."""

    parent = models.ForeignKey("self", null=True, on_delete=models.CASCADE)
