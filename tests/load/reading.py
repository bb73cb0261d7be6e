"""Measures and checks an answer's event stream, line by line."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

SOURCES, FIRST, BETWEEN, WHOLE = "sources", "first token", "between tokens", "whole answer"
RESUMED, STOPPED = "resumed", "stopped"
# The figures that are measured.
FIGURES = (SOURCES, FIRST, BETWEEN, WHOLE, RESUMED, STOPPED)


class StreamFault(Exception):
    """A broken stream. Its message is the same for all faults of a kind, so Locust groups them."""


@dataclass
class Reading:
    """State of reading one answer, over all its connections; times are in seconds.

    `began` is the time of the request, `stopped` that of its cancellation. `count` is the number of
    events, `last_id` the id to resume from, and `end` the name of the last event once received.
    """

    began: float
    stopped: float | None = None
    count: int = 0
    last_id: str = ""
    end: str = ""
    _resumed: float | None = None
    _whole: bool = True
    _token: float | None = None
    _name: str = ""
    _data: str = ""

    def resume(self, now: float) -> None:
        """Continue on another connection, requested now."""
        self._resumed, self._whole, self._token = now, False, None

    def feed(self, line: bytes, now: float) -> Iterator[tuple[str, float]]:
        """Process a line and yield the figures that it completes. Raises StreamFault."""
        field, _, value = line.decode().rstrip("\r\n").partition(": ")
        if field == "id":
            self.last_id = value
        elif field == "event":
            self._name = value
        elif field == "data":
            self._data = value
        elif not field and self._name:
            name, self._name = self._name, ""
            self._check(name)
            yield from self._figures(name, now)

    @property
    def turn_id(self) -> str:
        """The turn's id, which is a part of its events' ids."""
        return self.last_id.rpartition("-")[0]

    @property
    def conversation_id(self) -> str:
        """The conversation's id, from the last event of an answer that has ended."""
        return str(json.loads(self._data)["conversation_id"])

    def close(self) -> None:
        """Check the end, after the connection was closed. Raises StreamFault."""
        if not self.end:
            raise StreamFault("stream ended without done or error")
        if self.end == "error":
            raise StreamFault(f"stream ended with an error: {json.loads(self._data)['type']}")

    def _check(self, name: str) -> None:
        number = int(self.last_id.rpartition("-")[2])
        if self.end:
            raise StreamFault(f"event after {self.end}")
        if number != self.count:
            raise StreamFault("event repeated" if number < self.count else "event lost")
        if name != "error" and (name == "sources") is not (number == 0):
            raise StreamFault("sources missing at the start, or repeated")
        self.count += 1
        if name in ("done", "error"):
            self.end = name

    def _figures(self, name: str, now: float) -> Iterator[tuple[str, float]]:
        if self._resumed is not None:
            yield RESUMED, now - self._resumed
            self._resumed = None
        if name == "token":
            if self._token is not None:
                yield BETWEEN, now - self._token
            elif self._whole:
                yield FIRST, now - self.began
            self._token = now
        elif name == "done" and self.stopped is not None:
            yield STOPPED, now - self.stopped
        elif name == "done" and self._whole:
            yield WHOLE, now - self.began
        elif name == "sources":
            yield SOURCES, now - self.began
