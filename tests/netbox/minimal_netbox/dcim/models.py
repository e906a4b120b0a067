"""dcim.Site and dcim.Rack, columns as in NetBox 4.4."""

from django.db import models
from utilities.bases import Named, Primary


class Site(Named):
    """The object of the jobs made here."""

    status = models.CharField(max_length=50, default="active")
    region_id = models.BigIntegerField(null=True)
    group_id = models.BigIntegerField(null=True)
    tenant_id = models.BigIntegerField(null=True)
    facility = models.CharField(max_length=50, blank=True)
    time_zone = models.CharField(max_length=63, null=True)
    physical_address = models.CharField(max_length=200, blank=True)
    shipping_address = models.CharField(max_length=200, blank=True)
    latitude = models.DecimalField(max_digits=8, decimal_places=6, null=True)
    longitude = models.DecimalField(max_digits=9, decimal_places=6, null=True)
    asns = models.ManyToManyField("ipam.ASN", related_name="sites")


class Rack(Primary):
    """Appears in captured jobs only."""

    name = models.CharField(max_length=100)
    site = models.ForeignKey(Site, on_delete=models.PROTECT)

    def __str__(self):
        return self.name
