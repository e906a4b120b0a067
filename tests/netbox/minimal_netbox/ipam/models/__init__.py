"""The models of NetBox's `ipam` application that appear in webhook jobs."""

from django.db import models
from ipam.models.asns import ASN
from utilities.bases import Primary

__all__ = ["ASN", "Prefix"]


class Prefix(Primary):
    """Its instance is pickled with netaddr's IPNetwork as value."""

    prefix = models.CharField(max_length=50)

    def __str__(self):
        return str(self.prefix)
