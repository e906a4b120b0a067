"""extras.EventRule and extras.Webhook, columns as in NetBox 4.4 (extras/models/models.py)."""

from django.db import models
from utilities.bases import ChangeLogged


class EventRule(ChangeLogged):
    """The rule that caused a job; `action_object_id` is the webhook."""

    custom_field_data = models.JSONField(default=dict)
    name = models.CharField(max_length=150)
    description = models.CharField(max_length=200, blank=True)
    event_types = models.JSONField(default=list)
    enabled = models.BooleanField(default=True)
    conditions = models.JSONField(null=True)
    action_type = models.CharField(max_length=30, default="webhook")
    action_object_type = models.ForeignKey("contenttypes.ContentType", on_delete=models.CASCADE)
    action_object_id = models.PositiveBigIntegerField(null=True)
    action_data = models.JSONField(null=True)
    comments = models.TextField(blank=True)

    class Meta:
        app_label = "extras"

    def __str__(self):
        return self.name


class Webhook(ChangeLogged):
    """The receiver. Never pickled: a worker looks it up by the rule's `action_object_id`."""

    name = models.CharField(max_length=150)
    payload_url = models.CharField(max_length=500)
    secret = models.CharField(max_length=255, blank=True)

    class Meta:
        app_label = "extras"
