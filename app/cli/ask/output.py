"""Events of an answer come in; they are printed as they come, for a person or for a program."""

import io
import json
import os
import sys
from collections.abc import Sequence
from typing import Protocol, TextIO

import msgspec

from app.cli.ask import messages
from app.infra.http.sse import SSEEvent
from app.schemas import Citation, Done

# What moves a terminal's cursor, or does worse. Line feeds and tabs are text; a carriage return
# is half of a line feed.
_CONTROLS: dict[int, str | None] = dict.fromkeys({*range(0x20), *range(0x7F, 0xA0)}, "\ufffd")
_CONTROLS |= {0x09: "\t", 0x0A: "\n", 0x0D: None}
# What has text read backwards, an address as well; scripts that run to the left do not need it.
_CONTROLS |= dict.fromkeys((0x202D, 0x202E), "\ufffd")
_BOLD, _PLAIN = "\x1b[1m", "\x1b[0m"


class Printer(Protocol):
    """Prints one answer; raises OSError where it cannot, BrokenPipeError where nobody reads it."""

    def take(self, event: SSEEvent) -> None:
        """Print an event."""
        ...

    def aside(self, message: str) -> None:
        """Tell a person what is no part of the answer."""
        ...


class Text:
    """Prints for people: the answer, then whose it is, the sources it cites, how to go on.

    `asked` is the creator who was named, `again` the command that asks, for a follow-up.
    """

    def __init__(self, out: TextIO, *, asked: str | None, again: str) -> None:
        if isinstance(out, io.TextIOWrapper):
            # What a terminal cannot show is no reason to end.
            out.reconfigure(errors="replace")
        self._out = out
        self._asked = asked
        self._again = again
        self._sources: tuple[Citation, ...] = ()
        self._last = "\n"
        plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
        self._bold, self._plain = ("", "") if plain or not out.isatty() else (_BOLD, _PLAIN)

    def take(self, event: SSEEvent) -> None:
        """Print a piece of the answer, or what there is to tell at its end."""
        match event.event:
            case "sources":
                self._sources = msgspec.json.decode(event.data, type=tuple[Citation, ...])
            case "token":
                self._print(_harmless(msgspec.json.decode(event.data, type=str)))
            case "done":
                self._end(msgspec.json.decode(event.data, type=Done))

    def aside(self, message: str) -> None:
        """Print on standard error, below what is there."""
        if self._out.isatty():
            self._end_line()
        _aside(message)

    def _end(self, done: Done) -> None:
        self._end_line()
        if done.finish_reason == "refused":
            return
        cited = {mark.number for mark in done.citations}
        sources = [source for source in self._sources if source.number in cited]
        self._list(messages.scope(done, self._asked), sources)
        if done.finish_reason == "length":
            self.aside("The model may write no more than this: the end may be missing.")
        if done.memory == "kept":
            self.aside(f'Follow up: {self._again} --conversation {done.conversation_id} "…"')

    def _list(self, scope: str, cited: Sequence[Citation]) -> None:
        self._print(f"\n{_harmless(scope)}{':' if cited else '.'}\n")
        width = max((len(str(one.number)) for one in cited), default=0) + 2
        for one in cited:
            name, url = (_harmless(text) for text in messages.source(one))
            self._print(f"{f'[{one.number}]':>{width}} {self._bold}{name}{self._plain}\n")
            if url:
                self._print(f"{'':{width}} {url}\n")

    def _end_line(self) -> None:
        if self._last != "\n":
            self._print("\n")

    def _print(self, text: str) -> None:
        if text:
            self._out.write(text)
            self._out.flush()
            self._last = text[-1]


class Lines:
    """Prints for programs: each event as one line of JSON, in ASCII, which any terminal bears."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def take(self, event: SSEEvent) -> None:
        """Print an event."""
        line = {"id": event.id, "event": event.event, "data": msgspec.json.decode(event.data)}
        print(json.dumps(line), file=self._out, flush=True)

    def aside(self, message: str) -> None:
        """Print on standard error."""
        _aside(message)


def _aside(message: str) -> None:
    try:
        print(_harmless(message), file=sys.stderr, flush=True)
    except OSError:
        # The answer counts also where nobody can be told what is beside it.
        discard(sys.stderr)


def discard(stream: TextIO) -> None:
    """Have what a stream could not write, and all to come, go nowhere without a word."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _harmless(text: str) -> str:
    return text.translate(_CONTROLS)
