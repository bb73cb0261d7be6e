"""Errors of the HTTP client besides OSError and TimeoutError."""


class ConnectTimeout(TimeoutError):
    """No connection was made in time: the request was not sent."""


class BadResponse(Exception):
    """A response that cannot be used; the message contains nothing that the server sent."""


class ResponseTooLarge(BadResponse):
    """The body of a response is larger than its reader allows."""
