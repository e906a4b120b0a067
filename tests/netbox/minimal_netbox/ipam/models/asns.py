"""ipam.ASN (path as in NetBox: ipam/models/asns.py)."""

from django.db import models
from utilities.bases import ChangeLogged


class ASN(ChangeLogged):
    """Named in the query sets of a site."""

    asn = models.BigIntegerField()

    class Meta:
        app_label = "ipam"
