"""Settings of the smallest Django project that can pickle and unpickle NetBox's webhook jobs.

Redis and the queues come from the environment: `RQ_SIDE_REDIS` (a URL) and `RQ_SIDE_QUEUES` (names, comma separated).
Nothing here touches a database: jobs carry unsaved instances only.
"""

import os

SECRET_KEY = "only-for-tests"
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en-us"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_USER_MODEL = "users.User"
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "rest_framework",
    "django_rq",
    "core",
    "users",
    "extras",
    "tenancy",
    "ipam",
    "dcim",
]

# NetBox: RQ_DEFAULT_TIMEOUT = 300.
RQ_DEFAULT_TIMEOUT = 300
RQ_QUEUES = {
    name: {"URL": os.environ.get("RQ_SIDE_REDIS", "redis://127.0.0.1:6379/0"), "DEFAULT_TIMEOUT": RQ_DEFAULT_TIMEOUT}
    for name in os.environ.get("RQ_SIDE_QUEUES", "default").split(",")
}
