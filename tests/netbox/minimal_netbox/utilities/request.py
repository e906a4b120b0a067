"""The request as a NetBox job carries it (path as in NetBox: utilities/request.py)."""


class NetBoxFakeRequest:
    """What is left of an HTTP request in a pickle: its attributes are the keys of one dict."""

    def __init__(self, attributes):
        self.__dict__ = attributes
