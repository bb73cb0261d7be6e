"""Logging to standard error: text on a terminal, JSON elsewhere.

Every line has the id of its request, its trace and its span. Questions and answers are never
logged.
"""

import logging
import sys
from contextvars import ContextVar
from logging.config import dictConfig
from typing import Literal

from app import tracing

request_id: ContextVar[str] = ContextVar("request_id", default="-")


def configure(form: Literal["auto", "text", "json"], level: str) -> None:
    """Configure logging for the process; `auto` is text on a terminal and JSON elsewhere."""
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


def _add_ids(record: logging.LogRecord) -> bool:
    record.request_id = request_id.get()
    trace = tracing.current.get()
    record.trace_id, record.span_id = (trace.trace_id, trace.span_id) if trace else ("-", "-")
    return True


def _skip_incomplete_response(record: logging.LogRecord) -> bool:
    # The middleware logs the reason for an incomplete response.
    return not str(record.msg).startswith("ASGI callable returned without completing response")
