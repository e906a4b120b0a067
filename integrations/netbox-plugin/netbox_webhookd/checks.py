"""Findings of `manage.py check`."""

import os

from django.conf import settings as django_settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured

from . import PIPELINE
from .settings import Settings
from .transport import transport_of


@checks.register
def check_pipeline(app_configs, **kwargs):
    """Forwarded once, not never and not twice."""
    count = list(getattr(django_settings, "EVENTS_PIPELINE", ())).count(PIPELINE)
    if count == 1:
        return []
    if count == 0:
        hint = f"NetBox before 4.2 needs EVENTS_PIPELINE = ['extras.events.process_event_queue', '{PIPELINE}']."
        return [checks.Warning("No event is forwarded to netbox-webhookd.", hint=hint, id="netbox_webhookd.W001")]
    hint = "NetBox 4.2 and later add it by themselves: remove it from EVENTS_PIPELINE in configuration.py."
    return [checks.Error("Every event is forwarded twice.", hint=hint, id="netbox_webhookd.E001")]


@checks.register
def check_spool_is_writable(app_configs, **kwargs):
    folder = Settings.read(django_settings.PLUGINS_CONFIG["netbox_webhookd"]).spool_dir
    # The directory itself is made at first use.
    nearest = folder if os.path.exists(folder) else os.path.dirname(folder)
    if os.path.isdir(nearest) and os.access(nearest, os.W_OK | os.X_OK):
        return []
    text = f"This user cannot write to 'spool_dir' {folder}: events would be lost while netbox-webhookd is away."
    return [checks.Warning(text, hint="Ignore this if NetBox runs as another user.", id="netbox_webhookd.W002")]


@checks.register
def check_transport(app_configs, **kwargs):
    """Nothing is connected to."""
    try:
        transport_of(Settings.read(django_settings.PLUGINS_CONFIG["netbox_webhookd"]))
    except (ImproperlyConfigured, ImportError, OSError, ValueError) as error:
        return [checks.Error(f"The transport cannot be used: {error}", id="netbox_webhookd.E002")]
    return []
