"""`manage.py webhookd_flush`: sends what waits in the spool."""

from django.conf import settings as django_settings
from django.core.management.base import BaseCommand, CommandError

from netbox_webhookd.batch import MAX_BYTES, MAX_EVENTS
from netbox_webhookd.forwarder import Forwarder, Limits
from netbox_webhookd.settings import Settings
from netbox_webhookd.spool import SpoolFull

# A bound, not a limit: 5,000 events each.
MAX_GROUPS = 1_000_000


class Command(BaseCommand):
    help = "Sends the events that wait in the spool to netbox-webhookd, in order. Exit code 1 if some are left."
    requires_system_checks = []

    def add_arguments(self, parser):
        parser.add_argument("--timeout", type=float, default=30.0, help="seconds for one request (default 30)")
        parser.add_argument("--requeue-rejected", action="store_true", help="try again what was refused")

    def handle(self, *args, **options):
        forwarder = Forwarder(Settings.read(django_settings.PLUGINS_CONFIG["netbox_webhookd"]))
        spool = forwarder.spool
        if options["requeue_rejected"]:
            try:
                self.stdout.write(f"put back: {spool.requeue()} rejected batches")
            except SpoolFull as error:
                raise CommandError(str(error)) from error
        spool.tidy()
        limits = Limits(MAX_GROUPS, MAX_EVENTS, MAX_BYTES, options["timeout"], lock_seconds=10)
        drained = forwarder.drain(limits)
        left = spool.queue.waiting()
        self.stdout.write(
            f"sent: {drained.sent} events, rejected: {drained.rejected}, "
            f"left: {sum(waiting.events for waiting in left)} events in {len(left)} batches"
        )
        if left:
            raise CommandError(drained.problem or "new events came in meanwhile", returncode=1)
