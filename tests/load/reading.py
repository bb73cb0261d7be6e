"""Measure an answer's stream from its lines and their times. Pure."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

SOURCES, FIRST, BETWEEN, WHOLE = "sources", "first token", "between tokens", "whole answer"
RESUMED, STOPPED = "resumed", "stopped"
# The measurements.
FIGURES = (SOURCES, FIRST, BETWEEN, WHOLE, RESUMED, STOPPED)


class StreamFault(Exception):
    """An invalid stream; the message is the same for all faults of a kind."""


@dataclass
class Reading:
    """One answer, as read over all its connections; times are in seconds.

    `began` is the time of the request, `stopped` that of the stop. `count` events have arrived;
    `last_id` is the ID to resume from, and `end` the name of the last event.
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
        """Continue over another connection, which is requested now."""
        self._resumed, self._whole, self._token = now, False, None

    def take(self, line: bytes, now: float) -> Iterator[tuple[str, float]]:
        """Read a line and yield the measurements that it completes. Raises StreamFault."""
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
        """Return the turn's ID, from the ID of an event."""
        return self.last_id.rpartition("-")[0]

    def close(self) -> None:
        """Check that the answer is complete. Raises StreamFault."""
        if not self.end:
            raise StreamFault("it ends without done or error")
        if self.end == "error":
            raise StreamFault(f"it ends in an error: {json.loads(self._data)['type']}")

    def _check(self, name: str) -> None:
        number = int(self.last_id.rpartition("-")[2])
        if self.end:
            raise StreamFault(f"an event comes after {self.end}")
        if number != self.count:
            raise StreamFault("an event comes twice" if number < self.count else "an event is lost")
        if name != "error" and (name == "sources") is not (number == 0):
            raise StreamFault("sources are not the first event, or come again")
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
