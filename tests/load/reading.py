"""Lines of an answer's stream come in, with the time of each; figures go out, and faults. Pure."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

SOURCES, FIRST, BETWEEN, WHOLE = "sources", "first token", "between tokens", "whole answer"
RESUMED, STOPPED = "resumed", "stopped"
# What is measured of every stream.
FIGURES = (SOURCES, FIRST, BETWEEN, WHOLE, RESUMED, STOPPED)


class StreamFault(Exception):
    """A stream that is not as it should be; the message is the same for all of a kind."""


@dataclass
class Reading:
    """What has been read of one answer, over all its connections; times are in seconds.

    `began` is when it was asked for, `stopped` when it was told to end. `count` events have come;
    `last_id` is where to go on, and `end` the last one's name, once it has come.
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
        """Go on over another connection, which is asked for now."""
        self._resumed, self._whole, self._token = now, False, None

    def take(self, line: bytes, now: float) -> Iterator[tuple[str, float]]:
        """Take a line, and yield the figures that it completes. Raises StreamFault."""
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
        """Name the turn, whose events have its name in theirs."""
        return self.last_id.rpartition("-")[0]

    def close(self) -> None:
        """Look at how it ended, once the connection has. Raises StreamFault."""
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
