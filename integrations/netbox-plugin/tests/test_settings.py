import pytest
from django.core.exceptions import ImproperlyConfigured

from netbox_webhookd import WebhookdConfig, checks
from netbox_webhookd.settings import Settings

GOOD = {"url": "http://127.0.0.1:8900", "token": "t", "spool_dir": "/var/spool/x"}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"url": ""}, "'url' must be netbox-webhookd's address"),
        ({"url": "ftp://x"}, "'url' must be"),
        ({"url": "http://x:99999"}, "'url' is not a valid URL"),
        ({"url": "http://u:p@x"}, "must not hold a user"),
        ({"url": "http://x/a b"}, "must not hold spaces"),
        ({"token": ""}, "'token' must be a token"),
        ({"token": "a\nb"}, "'token' must be a token"),
        ({"token": 5}, "'token' must be of type str, not int"),
        ({"spool_dir": ""}, "'spool_dir' must be the absolute path"),
        ({"spool_dir": "spool"}, "'spool_dir' must be the absolute path"),
        ({"timeout": 0}, "'timeout' is 0; it must be between"),
        ({"timeout": "1s"}, "'timeout' must be of type float, not str"),
        ({"timeout": True}, "'timeout' must be of type float, not bool"),
        ({"connect_timeout": 31}, "'connect_timeout' is 31"),
        ({"retry_after": 0}, "'retry_after' is 0"),
        ({"spool_max_bytes": 5}, "'spool_max_bytes' is 5"),
        ({"transport": "amqp"}, "it must be 'http' or 'redis'"),
        ({"models": "dcim.site"}, "'models' must be a list"),
        ({"exclude_models": ["site"]}, "'exclude_models' holds 'site'"),
        ({"tokn": "x"}, "unknown setting 'tokn'; did you mean 'token'?"),
        ({"ca_cert_path": "/nowhere/ca.pem"}, "there is no file"),
        ({"transport": "redis", "redis": {"SENTINELS": []}}, "'redis' has the key 'SENTINELS'"),
        ({"transport": "redis", "redis": "localhost"}, "'redis' must be a dictionary"),
        ({"transport": "redis", "stream": ""}, "'stream' must be"),
    ],
)
def test_a_wrong_setting_is_refused_at_start_by_name(change, says):
    with pytest.raises(ImproperlyConfigured) as refusal:
        WebhookdConfig.validate({**GOOD, **change}, "4.4.10")
    assert says in str(refusal.value)
    assert "netbox_webhookd" in str(refusal.value)


def test_redis_needs_no_url_and_no_token():
    WebhookdConfig.validate({"transport": "redis", "spool_dir": "/x"}, "4.4.10")


def test_the_token_does_not_show():
    assert "s3cret" not in repr(Settings.read({**GOOD, "token": "s3cret"}))


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://h:8900", ("http", "h", 8900, "/api/events/")),
        ("https://h/", ("https", "h", 443, "/api/events/")),
        ("http://h/base", ("http", "h", 80, "/base/api/events/")),
        ("http://h/base/api/events/", ("http", "h", 80, "/base/api/events/")),
        ("http://[::1]:8900", ("http", "::1", 8900, "/api/events/")),
    ],
)
def test_the_url_may_be_the_root_or_the_intake(url, expected):
    assert Settings.read({**GOOD, "url": url}).events_url == expected


@pytest.mark.parametrize(
    ("models", "excluded", "model", "expected"),
    [
        ([], [], "dcim.site", True),
        (["dcim.Site"], [], "dcim.site", True),
        (["dcim.site"], [], "dcim.rack", False),
        (["dcim.*"], [], "dcim.rack", True),
        (["dcim.*"], ["dcim.rack"], "dcim.rack", False),
        ([], ["my_plugin.*"], "my_plugin.thing", False),
    ],
)
def test_models_are_chosen(models, excluded, model, expected):
    assert Settings.read({**GOOD, "models": models, "exclude_models": excluded}).wants(model) is expected


@pytest.mark.parametrize(("count", "ids"), [(1, []), (0, ["netbox_webhookd.W001"]), (2, ["netbox_webhookd.E001"])])
def test_a_check_counts_how_often_events_are_forwarded(settings_with_pipeline, count, ids):
    settings_with_pipeline(["x.y", *["netbox_webhookd.pipeline.forward_events"] * count])
    assert [found.id for found in checks.check_pipeline(None)] == ids


def test_a_check_finds_a_spool_that_cannot_be_written(configured, tmp_path):
    configured()
    assert checks.check_spool_is_writable(None) == []
    (tmp_path / "file").touch()
    configured(spool_dir=str(tmp_path / "file" / "spool"))
    assert [found.id for found in checks.check_spool_is_writable(None)] == ["netbox_webhookd.W002"]


def test_a_check_finds_a_sentinel(configured, monkeypatch):
    from django.conf import settings as django_settings

    configured(transport="redis")
    monkeypatch.setattr(django_settings, "REDIS", {"tasks": {"SENTINELS": [("h", 1)]}}, raising=False)
    (found,) = checks.check_transport(None)
    assert "Sentinel is not supported" in found.msg


@pytest.fixture
def settings_with_pipeline(monkeypatch):
    from django.conf import settings as django_settings

    return lambda pipeline: monkeypatch.setattr(django_settings, "EVENTS_PIPELINE", pipeline)
