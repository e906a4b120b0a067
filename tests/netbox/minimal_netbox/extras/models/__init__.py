"""The models of NetBox's `extras` application that appear in webhook jobs."""

from extras.models.customfields import CustomField
from extras.models.models import EventRule, Webhook
from extras.models.tags import Tag, TaggedItem

__all__ = ["CustomField", "EventRule", "Tag", "TaggedItem", "Webhook"]
