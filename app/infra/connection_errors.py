"""Describe why a connection failed in a few words, the same in logs, `doctor` and `ask`."""

import errno
import os
import re
import socket
import ssl

_UNKNOWN_HOST = (socket.EAI_NONAME, socket.EAI_NODATA)
# Errors of TLS with a server that answers without it.
_NOT_TLS = {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "UNKNOWN_PROTOCOL"}
# Errors that asyncio raises without a number.
_NUMBERS: dict[type[OSError], int] = {
    ConnectionRefusedError: errno.ECONNREFUSED,
    ConnectionResetError: errno.ECONNRESET,
    ConnectionAbortedError: errno.ECONNABORTED,
    BrokenPipeError: errno.EPIPE,
}
# Several errors, one for each address of a host, have their numbers only in the message.
_NUMBER = re.compile(r"\[Errno (\d+)\]")


def describe(error: BaseException, default: str = "") -> str:
    """Return the reason without addresses and without text from the server.

    For other errors that is `default`, or else the type of the error.
    """
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OSError):
        # redis-py wraps the cause in errors without its type.
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, TimeoutError) or "Timeout" in type(error).__name__:
        return "no answer in time"
    return (cause and _describe(cause)) or default or type(error).__name__


def speaks_no_tls(error: object) -> bool:
    """Return whether a server answered an attempt at TLS with something else."""
    return isinstance(error, ssl.SSLError) and error.reason in _NOT_TLS


def _describe(error: OSError) -> str:
    # The numbers of these errors are not those of the operating system.
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, socket.gaierror):
        known = error.errno not in _UNKNOWN_HOST
        return "the host name cannot be resolved" if known else "the host name is not known"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not valid: {error.verify_message.rstrip('.')}"
    if isinstance(error, ssl.SSLError):
        if speaks_no_tls(error):
            return "the server does not speak TLS"
        return f"TLS failed: {(error.reason or 'unknown').replace('_', ' ').lower()}"
    number = error.errno or _NUMBERS.get(type(error))
    if not number and (found := _NUMBER.search(str(error))):
        number = int(found[1])
    return os.strerror(number).lower() if number else ""
