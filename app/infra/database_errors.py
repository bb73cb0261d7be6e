"""Describe errors of PostgreSQL and asyncpg in one line."""

import asyncpg

from app.infra import connection_errors

MAX_LENGTH = 200
# SQLSTATE classes whose messages quote values: data exceptions, which asyncpg also raises itself,
# and errors raised by functions.
_QUOTING = ("22", "P0")


def describe(error: BaseException) -> str:
    """Return an error's type and message in one line, without details, hints or values."""
    if isinstance(error, OSError):
        return connection_errors.describe(error)
    name = type(error).__name__
    if isinstance(error, asyncpg.PostgresError):
        # Further lines hold the detail, with values of the rows, and the hint.
        message = (getattr(error, "message", None) or str(error)).strip()
        if (error.sqlstate or "").startswith(_QUOTING):
            message = ""
    else:
        message = str(error)
    line = " ".join(message.split())
    if len(line) > MAX_LENGTH:
        line = f"{line[: MAX_LENGTH - 1]}…"
    return f"{name}: {line}" if line else name
