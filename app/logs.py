"""Logging to standard error: text on a terminal, JSON elsewhere.

Every line has the id of its request, its trace and its span. Questions and answers are never
logged. Ids that grant access, or that clients choose, are shortened, and characters that are not
printable are escaped.
"""

import logging
import re
import sys
from contextvars import ContextVar
from logging.config import dictConfig
from typing import Any, Literal

from app import tracing

request_id: ContextVar[str] = ContextVar("request_id", default="-")

ID_LENGTH = 8
PATH_LENGTH = 200
_ID_IN_PATH = re.compile(rf"(/api/v1/[^/]+/[^/]{{{ID_LENGTH}}})[^/]+")


def shortened_id(value: str) -> str:
    """Return the start of an id, enough to find its other log lines."""
    return value if len(value) <= ID_LENGTH else f"{value[:ID_LENGTH]}…"


def shortened_path(path: str) -> str:
    """Return a path with its id shortened."""
    short = _ID_IN_PATH.sub(r"\1…", path)
    return short if len(short) <= PATH_LENGTH else f"{short[:PATH_LENGTH]}…"


def configure(form: Literal["auto", "text", "json"], level: str) -> None:
    """Configure logging for the process; `auto` is text on a terminal and JSON elsewhere."""
    if form == "auto":
        form = "text" if sys.stderr.isatty() else "json"
    formatters = {
        "text": {
            "class": "app.logs.TextFormatter",
            "format": "%(asctime)s %(levelname)-7s %(name)s [%(request_id)s] %(message)s"
            " trace_id=%(trace_id)s span_id=%(span_id)s",
            "datefmt": "%H:%M:%S",
        },
        "json": {
            "()": "pythonjsonlogger.json.JsonFormatter",
            "fmt": "%(asctime)s %(levelname)s %(name)s %(message)s %(request_id)s %(trace_id)s"
            " %(span_id)s",
            "rename_fields": {"asctime": "time", "levelname": "level", "name": "logger"},
            "datefmt": "%Y-%m-%dT%H:%M:%S%z",
        },
    }
    dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "filters": {
                "request": {"()": lambda: _add_ids},
                "incomplete": {"()": lambda: _skip_incomplete_response},
            },
            "formatters": {"chosen": formatters[form]},
            "handlers": {
                "stderr": {
                    "class": "logging.StreamHandler",
                    "formatter": "chosen",
                    "filters": ["request"],
                }
            },
            "root": {"level": level.upper(), "handlers": ["stderr"]},
            "loggers": {
                "audit": {"level": "INFO"},
                # At its debug level it logs every frame.
                "sse_starlette": {"level": "INFO"},
                # It logs query strings; the middleware logs requests without them.
                "uvicorn.access": {"level": "WARNING"},
                "uvicorn": {"level": "WARNING" if level == "info" else level.upper()},
                "uvicorn.error": {"filters": ["incomplete"]},
            },
        }
    )


class TextFormatter(logging.Formatter):
    """Escapes what could forge a line or control a terminal; a traceback keeps its line breaks."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """Format a line."""
        return _escaped(super().formatMessage(record).rstrip("\n"))

    def formatException(self, ei: Any) -> str:  # noqa: N802
        """Format a traceback."""
        return "\n".join(map(_escaped, super().formatException(ei).split("\n")))


def _escaped(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def _add_ids(record: logging.LogRecord) -> bool:
    record.request_id = shortened_id(request_id.get())
    trace = tracing.current.get()
    record.trace_id, record.span_id = (trace.trace_id, trace.span_id) if trace else ("-", "-")
    return True


def _skip_incomplete_response(record: logging.LogRecord) -> bool:
    # The middleware logs the reason for an incomplete response.
    return not str(record.msg).startswith("ASGI callable returned without completing response")
