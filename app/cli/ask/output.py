"""Print the events of an answer as they arrive, as text or as lines of JSON."""

import io
import json
import os
import re
import sys
from collections.abc import Sequence
from typing import Protocol, TextIO

import msgspec

from app.cli.ask import messages
from app.infra.http.sse import SSEEvent
from app.limits import CONVERSATION_ID
from app.schemas import Citation, Done
from app.terminal import in_one_line, printable

_BOLD, _PLAIN = "\x1b[1m", "\x1b[0m"
_CONVERSATION_ID = re.compile(CONVERSATION_ID)


class Output(Protocol):
    """Prints one answer. Raises OSError, which is BrokenPipeError if the output was closed."""

    def print_event(self, event: SSEEvent) -> None:
        """Print an event."""
        ...

    def print_note(self, message: str) -> None:
        """Print a message that is not part of the answer."""
        ...

    def print_error(self, message: str) -> None:
        """Print why there is no further answer."""
        ...


class TextOutput:
    """Prints for people: the answer, then its scope, the cited sources and how to follow up.

    `follow_up` is the command that asks the same service again.
    """

    def __init__(self, out: TextIO, *, requested_creator: str | None, follow_up: str) -> None:
        if isinstance(out, io.TextIOWrapper):
            # Characters that the terminal's encoding lacks must not end the program.
            out.reconfigure(errors="replace")
        self._out = out
        self._requested_creator = requested_creator
        self._follow_up = follow_up
        self._sources: tuple[Citation, ...] = ()
        self._last_character = "\n"
        plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
        self._bold, self._plain = ("", "") if plain or not out.isatty() else (_BOLD, _PLAIN)

    def print_event(self, event: SSEEvent) -> None:
        """Print a piece of the answer, or what follows its end."""
        match event.event:
            case "sources":
                self._sources = msgspec.json.decode(event.data, type=tuple[Citation, ...])
            case "token":
                self._print(printable(msgspec.json.decode(event.data, type=str)))
            case "done":
                self._print_end(msgspec.json.decode(event.data, type=Done))

    def print_note(self, message: str) -> None:
        """Print to standard error; on a line of its own if the answer appears there too."""
        if self._out.isatty() or os.path.sameopenfile(self._out.fileno(), sys.stderr.fileno()):
            self._end_line()
        _print_to_stderr(message)

    def print_error(self, message: str) -> None:
        """End the line of an answer that is not complete, and print to standard error."""
        self._end_line()
        _print_to_stderr(message)

    def _print_end(self, done: Done) -> None:
        self._end_line()
        cited = {citation.number for citation in done.citations}
        sources = [source for source in self._sources if source.number in cited]
        if done.finish_reason == "refused":
            if sources:
                # The closest moments.
                self._print("\n")
                self._print_sources(sources)
            return
        scope = in_one_line(messages.scope_line(done, self._requested_creator))
        self._print(f"\n{scope}{':' if sources else '.'}\n")
        self._print_sources(sources)
        if done.finish_reason == "length":
            self.print_note("The answer reached the model's length limit: its end may be missing.")
        # Nothing but an id may become a part of a command.
        if done.memory == "kept" and _CONVERSATION_ID.fullmatch(done.conversation_id):
            self.print_note(
                f'Follow up: {self._follow_up} --conversation {done.conversation_id} "…"'
            )

    def _print_sources(self, sources: Sequence[Citation]) -> None:
        width = max((len(str(source.number)) for source in sources), default=0) + 2
        for source in sources:
            title, url = (printable(text) for text in messages.source_lines(source))
            self._print(f"{f'[{source.number}]':>{width}} {self._bold}{title}{self._plain}\n")
            if url:
                self._print(f"{'':{width}} {url}\n")

    def _end_line(self) -> None:
        if self._last_character != "\n":
            self._print("\n")

    def _print(self, text: str) -> None:
        if text:
            self._out.write(text)
            self._out.flush()
            self._last_character = text[-1]


class JSONOutput:
    """Prints for programs: each event as one line of JSON, in ASCII for any encoding."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def print_event(self, event: SSEEvent) -> None:
        """Print an event."""
        line = {"id": event.id, "event": event.event, "data": msgspec.json.decode(event.data)}
        print(json.dumps(line), file=self._out, flush=True)

    def print_note(self, message: str) -> None:
        """Print to standard error."""
        _print_to_stderr(message)

    print_error = print_note


def _print_to_stderr(message: str) -> None:
    try:
        print(in_one_line(message), file=sys.stderr, flush=True)
    except OSError:
        # The answer is still useful without its notes.
        discard(sys.stderr)


def discard(stream: TextIO) -> None:
    """Redirect a stream to /dev/null, with what it has buffered."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
