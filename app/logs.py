"""Settings come in; log lines go to standard error: JSON in production, readable on a terminal.

Every line carries the id of the request it was written for, and its trace and span. The text of
questions and answers is never logged.
"""

import logging
import sys
from contextvars import ContextVar
from logging.config import dictConfig
from typing import Literal

from app import tracing

request_id: ContextVar[str] = ContextVar("request_id", default="-")


def configure(form: Literal["auto", "text", "json"], level: str) -> None:
    """Set up logging for the process; `auto` is text on a terminal and JSON elsewhere."""
    if form == "auto":
        form = "text" if sys.stderr.isatty() else "json"
    formatters = {
        "text": {
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
                "request": {"()": RequestFilter},
                "told": {"()": ToldFilter},
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
                # One line a frame and a parse at its debug level: the wire shows the same.
                "sse_starlette": {"level": "INFO"},
                # It logs query strings; the middleware has a line of its own.
                "uvicorn.access": {"level": "WARNING"},
                "uvicorn": {"level": "WARNING" if level == "info" else level.upper()},
                "uvicorn.error": {"filters": ["told"]},
            },
        }
    )


class RequestFilter(logging.Filter):
    """Puts the ids of the current request on each record."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record through."""
        record.request_id = request_id.get()
        trace = tracing.current.get()
        record.trace_id, record.span_id = (trace.trace_id, trace.span_id) if trace else ("-", "-")
        return True


class ToldFilter(logging.Filter):
    """Leaves out uvicorn's error about a reply without its end: the middleware tells why it was."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether a record is to be logged."""
        return not str(record.msg).startswith("ASGI callable returned without completing response")
