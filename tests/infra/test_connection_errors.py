"""Connection errors are described in plain words."""

import errno
import socket
import ssl

import pytest

from app.infra.connection_errors import describe


def ssl_error(reason: str, kind: type[ssl.SSLError] = ssl.SSLError) -> ssl.SSLError:
    error = kind(1, f"[SSL: {reason}] secret (_ssl.c:1006)")
    error.reason = reason
    if isinstance(error, ssl.SSLCertVerificationError):
        error.verify_message = "certificate has expired."
    return error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed ('::1', 5432)"),
            "connection refused",
        ),
        (ConnectionRefusedError(), "connection refused"),
        (ConnectionResetError("Connection lost"), "connection reset by peer"),
        (FileNotFoundError(errno.ENOENT, "No such file"), "no such file or directory"),
        (
            OSError("Multiple exceptions: [Errno 111] ('::1', 1), [Errno 111] ('127.0.0.1', 1)"),
            "connection refused",
        ),
        (TimeoutError(), "no answer in time"),
        (socket.gaierror(socket.EAI_NONAME, "Name or…"), "the host name is not known"),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary…"), "the host name cannot be resolved"),
        (ssl_error("WRONG_VERSION_NUMBER"), "the server does not speak TLS"),
        (ssl_error("NO_SHARED_CIPHER"), "TLS failed: no shared cipher"),
        (
            ssl_error("CERTIFICATE_VERIFY_FAILED", ssl.SSLCertVerificationError),
            "the certificate is not valid: certificate has expired",
        ),
        (RuntimeError("secret"), "RuntimeError"),
        (OSError("secret"), "OSError"),
    ],
)
def test_an_error_is_described_in_words(error: Exception, words: str) -> None:
    assert describe(error) == words


def test_the_cause_of_a_wrapped_error_is_described() -> None:
    wrapped = LookupError("no node can be reached")
    wrapped.__context__ = ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed")
    assert describe(wrapped, "another error") == "connection refused"
    assert describe(LookupError("no"), "another error") == "another error"
