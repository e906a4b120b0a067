"""The query set class of NetBox's models, as named in pickles (path as in NetBox: utilities/querysets.py)."""

from django.db.models import QuerySet


class RestrictedQuerySet(QuerySet):
    """Only its name matters here: NetBox restricts it by permissions, which no job does."""
