"""The plugin's settings: read once, checked at start."""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass, field, fields
from typing import Any, Mapping
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

MIB = 1024 * 1024

# NetBox's own names (REDIS in configuration.py), less those for Sentinel.
REDIS_KEYS = (
    "HOST",
    "PORT",
    "URL",
    "USERNAME",
    "PASSWORD",
    "DATABASE",
    "SSL",
    "INSECURE_SKIP_TLS_VERIFY",
    "CA_CERT_PATH",
)
EVENTS_PATH = "/api/events/"


def _fail(message: str) -> None:
    raise ImproperlyConfigured(f"PLUGINS_CONFIG['netbox_webhookd']: {message}")


@dataclass(frozen=True)
class Settings:
    """What may stand in PLUGINS_CONFIG["netbox_webhookd"]; times in seconds, sizes in bytes."""

    spool_dir: str = ""
    transport: str = "http"
    url: str = ""
    token: str = field(default="", repr=False)
    ca_cert_path: str = ""
    redis: Mapping[str, Any] | None = field(default=None, repr=False)
    stream: str = "netbox-webhookd:events"
    timeout: float = 1.0
    connect_timeout: float = 0.25
    retry_after: float = 10.0
    spool_max_bytes: int = 256 * MIB
    spool_fsync: bool = True
    drop_phantoms: bool = True
    models: tuple[str, ...] = ()
    exclude_models: tuple[str, ...] = ()

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> Settings:
        """Raises ImproperlyConfigured, naming the key and what would be right."""
        known = [f.name for f in fields(cls)]
        for key in given:
            if key not in known:
                near = difflib.get_close_matches(str(key), known, 1)
                _fail(f"unknown setting {key!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
        values = dict(given)
        for key in ("models", "exclude_models"):
            values[key] = _models(key, given.get(key, ()))
        settings = cls(**values)
        settings._check()
        return settings

    def _check(self) -> None:
        self._check_types()
        if self.transport not in ("http", "redis"):
            _fail(f"'transport' is {self.transport!r}; it must be 'http' or 'redis'")
        if self.transport == "http":
            self._check_http()
        else:
            self._check_redis()
        if not os.path.isabs(self.spool_dir):
            _fail(
                "'spool_dir' must be the absolute path of a directory that NetBox may write to, such as "
                "'/var/lib/netbox-webhookd-spool'; events wait there while netbox-webhookd cannot be reached"
            )
        for key, low, high in (("timeout", 0.05, 30), ("connect_timeout", 0.01, 30), ("retry_after", 0.1, 3600)):
            if not low <= getattr(self, key) <= high:
                _fail(f"{key!r} is {getattr(self, key)!r}; it must be between {low} and {high} seconds")
        if self.spool_max_bytes < MIB:
            _fail(f"'spool_max_bytes' is {self.spool_max_bytes!r}; it must be at least {MIB} (1 MiB)")

    def _check_types(self) -> None:
        kinds = {"str": str, "float": (int, float), "int": int, "bool": bool}
        for f in fields(self):
            kind, value = kinds.get(f.type), getattr(self, f.name)
            # To Python a bool is an int; to whoever wrote `timeout: True` it is a mistake.
            if kind and (not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool)):
                _fail(f"{f.name!r} must be of type {f.type}, not {type(value).__name__}")

    def _check_http(self) -> None:
        example = "such as 'http://127.0.0.1:8900'"
        try:
            parts = urlsplit(self.url)
            port_is_valid = parts.port is None or parts.port > 0
        except ValueError as error:
            _fail(f"'url' is not a valid URL ({error}); it must be netbox-webhookd's address, {example}")
        if parts.scheme not in ("http", "https") or not parts.hostname or not port_is_valid:
            _fail(f"'url' must be netbox-webhookd's address, {example}")
        if not self.url.isascii() or not self.url.isprintable() or " " in self.url:
            _fail("'url' must not hold spaces, line breaks or letters beyond ASCII")
        if parts.username or parts.password or parts.query or parts.fragment:
            _fail("'url' must not hold a user, a password, a query or a fragment; the token has its own setting")
        if not self.token or not self.token.isascii() or not self.token.isprintable() or " " in self.token:
            _fail("'token' must be a token of netbox-webhookd with the scope 'ingest', without spaces or line breaks")
        if self.ca_cert_path and not os.path.isfile(self.ca_cert_path):
            _fail(f"'ca_cert_path': there is no file {self.ca_cert_path!r}")

    def _check_redis(self) -> None:
        if not self.stream:
            _fail("'stream' must be the name of a Redis stream")
        if self.redis is None:
            return
        if not isinstance(self.redis, Mapping):
            _fail(f"'redis' must be a dictionary with the keys of NetBox's REDIS, not {type(self.redis).__name__}")
        for key in self.redis:
            if key not in REDIS_KEYS:
                _fail(f"'redis' has the key {key!r}; known are {', '.join(REDIS_KEYS)}")

    @property
    def events_url(self) -> tuple[str, str, int, str]:
        """Scheme, host, port and path of the intake; `url` may be the service's root or the full address."""
        parts = urlsplit(self.url)
        path = parts.path
        if not path.endswith(EVENTS_PATH):
            path = path.rstrip("/") + EVENTS_PATH
        port = parts.port or (443 if parts.scheme == "https" else 80)
        return parts.scheme, parts.hostname or "", port, path

    def wants(self, model: str) -> bool:
        """Whether events of `model` ("dcim.site") are forwarded; both lists may hold "dcim.*"."""
        names = (model, model.split(".", 1)[0] + ".*")
        if self.models and not any(name in self.models for name in names):
            return False
        return not any(name in self.exclude_models for name in names)


def _models(key: str, given: Any) -> tuple[str, ...]:
    if isinstance(given, str) or not isinstance(given, (list, tuple, set, frozenset)):
        _fail(f"{key!r} must be a list like ['dcim.site', 'ipam.*']")
    for name in given:
        if not isinstance(name, str) or len(name.split(".")) != 2 or not all(name.split(".")):
            _fail(f"{key!r} holds {name!r}; a model is written 'dcim.site', all of an app 'dcim.*'")
    return tuple(name.lower() for name in given)
