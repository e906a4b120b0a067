"""Django with the plugin as its only app, an HTTP receiver and a redis-server, both real."""

import pathlib
import shutil
import socket
import subprocess
import sys

import django
import pytest
from django.conf import settings as django_settings

HERE = pathlib.Path(__file__).parent
for path in (HERE, HERE / "without_netbox", HERE.parent):
    sys.path.insert(0, str(path))

if not django_settings.configured:
    django_settings.configure(
        USE_TZ=True,
        INSTALLED_APPS=["netbox_webhookd.WebhookdConfig"],
        EVENTS_PIPELINE=["netbox_webhookd.pipeline.forward_events"],
        PLUGINS_CONFIG={"netbox_webhookd": {}},
        REST_FRAMEWORK={"COERCE_DECIMAL_TO_STRING": False},
    )
    django.setup()

from receiver import Receiver  # noqa: E402

from netbox_webhookd import forwarder, pipeline  # noqa: E402
from netbox_webhookd.settings import Settings  # noqa: E402


@pytest.fixture
def receiver():
    with Receiver() as running:
        yield running


@pytest.fixture
def options(receiver, tmp_path):
    """A valid PLUGINS_CONFIG entry; the spool directory does not exist yet."""
    return {"url": receiver.url, "token": "t0ken", "spool_dir": str(tmp_path / "spool"), "retry_after": 60.0}


@pytest.fixture
def configured(options):
    """Puts options in force, as a NetBox started with them."""

    def configure(**more):
        django_settings.PLUGINS_CONFIG["netbox_webhookd"] = {**options, "drop_phantoms": False, **more}
        pipeline._settings.cache_clear()
        forwarder.current.forwarder = None
        return Settings.read(django_settings.PLUGINS_CONFIG["netbox_webhookd"])

    yield configure
    pipeline._settings.cache_clear()
    forwarder.current.forwarder = None


@pytest.fixture
def redis_port(tmp_path):
    program = shutil.which("redis-server")
    if not program:
        pytest.skip("redis-server is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [program, "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--dir", str(tmp_path)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        for line in server.stdout:
            if "Ready to accept connections" in line:
                break
        else:
            pytest.fail("redis-server did not start")
        yield port
    finally:
        server.kill()
        server.wait()
        server.stdout.close()
