"""Collect the warnings that the code under a check logs."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager


class _Collector(logging.Handler):
    def __init__(self, lines: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(record.getMessage())


@contextmanager
def collect_warnings(lines: list[str]) -> Iterator[None]:
    """Append the messages to `lines` instead of logging them."""
    logger, collector = logging.getLogger("app"), _Collector(lines)
    logger.addHandler(collector)
    propagated, logger.propagate = logger.propagate, False
    try:
        yield
    finally:
        logger.removeHandler(collector)
        logger.propagate = propagated
