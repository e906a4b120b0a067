"""Stands in for the GraphQL library that leaves this object on every query set of NetBox."""


class StrawberryDjangoQuerySetConfig:
    """The flags seen in NetBox 4.4's pickles."""

    def __init__(self):
        self.optimized = False
        self.optimized_by_prefetching = False
        self.type_get_queryset_did_run = False
        self.ordering_descriptors = None
