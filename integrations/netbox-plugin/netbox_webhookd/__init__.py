"""Hands NetBox's events to netbox-webhookd, one batch per request."""

from netbox.plugins import PluginConfig

from .settings import Settings

__version__ = "0.1.0"

PIPELINE = "netbox_webhookd.pipeline.forward_events"


class WebhookdConfig(PluginConfig):
    name = "netbox_webhookd"
    verbose_name = "Webhookd"
    description = "Hands events to netbox-webhookd, one batch per request"
    version = __version__
    author = "netbox-webhookd"
    base_url = "webhookd"
    min_version = "3.7.0"
    # NetBox 4.2 and later append this to EVENTS_PIPELINE by themselves, earlier ones ignore it.
    events_pipeline = [PIPELINE]

    @classmethod
    def validate(cls, user_config, netbox_version):
        super().validate(user_config, netbox_version)
        Settings.read(user_config)

    def ready(self):
        super().ready()
        from . import checks  # noqa: F401  (registers itself)


config = WebhookdConfig
