"""Bytes of a model's event stream come in, in whatever pieces; events, and deltas, go out. Pure.

`SSEDecoder` follows the WHATWG specification of server-sent events, with one addition: a limit on
the size of an event, so that no peer fills the memory with a line that never ends.
`CompletionDecoder` reads those events as OpenAI's streamed chat completions.
"""

import json
from contextlib import suppress
from typing import Literal, TypeAlias

import msgspec
from msgspec import Struct

from app.schemas import Usage

BOM = b"\xef\xbb\xbf"
EVENT_LIMIT = 1 << 20
# More digits than any reconnection time needs, and few enough for `int`.
_MOST_DIGITS = 18


class BadEvent(ValueError):
    """An event that cannot be taken: too large, an error of the server's, or nonsense."""


class SSEEvent(Struct, frozen=True):
    """An event: its data, its name, and the last id that the stream has given."""

    data: str
    event: str = "message"
    id: str = ""


class SSEDecoder:
    """Decodes one stream; `retry` is the reconnection time it asked for, in milliseconds."""

    def __init__(self, limit: int = EVENT_LIMIT) -> None:
        self.retry: int | None = None
        self._limit = limit
        self._at_start = True
        self._after_cr = False
        self._line = bytearray()
        self._data: list[bytes] = []
        self._size = 0
        self._event = b""
        self._id = ""

    def feed(self, data: bytes) -> list[SSEEvent]:
        """Take the next bytes and return the events that they complete.

        Bytes that are no UTF-8 become U+FFFD. Raises BadEvent when an event passes the limit
        (in bytes); the events of this call are lost with it, and the decoder is of no more use.
        """
        if self._at_start:
            data = self._skip_bom(data)
        if not data:
            return []
        if self._after_cr and data.startswith(b"\n"):
            data = data[1:]
            self._after_cr = False
            if not data:
                return []
        self._after_cr = data.endswith(b"\r")
        if b"\r" in data:
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        first, *lines = data.split(b"\n")
        self._line += first
        self._check(len(self._line))
        if not lines:
            return []
        lines.insert(0, bytes(self._line))
        self._line = bytearray(lines.pop())
        events = self._decode(lines)
        self._check(len(self._line))
        return events

    def _skip_bom(self, data: bytes) -> bytes:
        data = bytes(self._line) + data
        self._line.clear()
        if len(data) < len(BOM) and BOM.startswith(data):
            self._line += data
            return b""
        self._at_start = False
        return data.removeprefix(BOM)

    def _check(self, length: int) -> None:
        if self._size + length > self._limit:
            raise BadEvent(f"an event is larger than {self._limit} bytes")

    def _decode(self, lines: list[bytes]) -> list[SSEEvent]:
        events: list[SSEEvent] = []
        for line in lines:
            if not line:
                if self._data:
                    events.append(self._dispatch())
                self._event = b""
                continue
            self._check(len(line))
            if line.startswith(b"data:"):
                self._data.append(line[6:] if line.startswith(b"data: ") else line[5:])
                self._size += len(line)
            else:
                self._take_field(line)
        return events

    def _take_field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
            self._size += len(line)
        elif name == b"event":
            self._event = value
        elif name == b"id" and b"\0" not in value:
            self._id = value.decode("utf-8", "replace")
        elif name == b"retry" and value.isdigit() and len(value) <= _MOST_DIGITS:
            self.retry = int(value)

    def _dispatch(self) -> SSEEvent:
        event = SSEEvent(
            data=b"\n".join(self._data).decode("utf-8", "replace"),
            event=self._event.decode("utf-8", "replace") or "message",
            id=self._id,
        )
        self._data.clear()
        self._size = 0
        return event


Finish: TypeAlias = Literal["stop", "length", "refused"]


class Delta(Struct, frozen=True):
    """The next piece of an answer; `finish` comes once, `usage` with it or after it or never."""

    text: str = ""
    finish: Finish | None = None
    usage: Usage | None = None


class _Said(Struct, frozen=True):
    content: str | None = None


class _Choice(Struct, frozen=True):
    delta: _Said | None = None
    message: _Said | None = None
    finish_reason: str | None = None


class _Usage(Struct, frozen=True):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Chunk(Struct, frozen=True):
    choices: tuple[_Choice, ...] | None = None
    usage: _Usage | None = None
    error: object = None


_CHUNK = msgspec.json.Decoder(_Chunk)
_FINISH: dict[str, Finish] = {"length": "length", "content_filter": "refused"}


class CompletionDecoder:
    """Decodes one answer; `finished` once the model has said that it is whole."""

    def __init__(self) -> None:
        self.finished = False
        self._text = _AnswerText()
        self._usage: Usage | None = None

    def decode(self, event: SSEEvent) -> Delta | None:
        """Return what an event adds to the answer, if anything. Raises BadEvent."""
        data = event.data.strip()
        if data == "[DONE]":
            return None if self.finished else self._finish("", "stop")
        chunk = _chunk(data) if data else _Chunk()
        if chunk.error is not None or event.event == "error":
            if self.finished:
                return None
            raise BadEvent("an event is an error, or no chat completion")
        choice = chunk.choices[0] if chunk.choices else _Choice()
        said = choice.message or choice.delta or _Said()
        text = self._text.add(said.content) if said.content else ""
        if count := chunk.usage:
            self._usage = Usage(count.prompt_tokens or 0, count.completion_tokens or 0)
        # Some servers send "" with every chunk; and an unstreamed answer is whole by itself.
        reason = choice.finish_reason or (choice.message and "stop")
        if reason and not self.finished:
            return self._finish(text, _FINISH.get(reason, "stop"))
        # A count may come with every chunk: before the finish it is no beginning of an answer.
        usage = self._usage if self.finished and count else None
        return Delta(text, usage=usage) if text or usage else None

    def _finish(self, text: str, finish: Finish) -> Delta:
        self.finished = True
        return Delta(text + self._text.add("", last=True), finish, self._usage)


def _chunk(data: str) -> _Chunk:
    try:
        return _CHUNK.decode(data)
    except (msgspec.DecodeError, RecursionError):
        # Half of an emoji's two escapes is refused by msgspec and taken by json.
        with suppress(ValueError, RecursionError):
            return msgspec.convert(json.loads(data), _Chunk)
    return _Chunk(error="no chat completion")


class _AnswerText:
    """Content in, text out: without `<think>…</think>` at its beginning, halves of emoji joined."""

    def __init__(self) -> None:
        self._part: Literal["start", "thought", "gap", "answer"] = "start"
        self._held = ""

    def add(self, piece: str, last: bool = False) -> str:
        """Return the text that is certain by now; after the `last` piece, all that is left."""
        text, self._held = self._held + piece, ""
        if self._part == "start":
            bare = text.lstrip()
            if not last and len(bare) < 7 and "<think>".startswith(bare):
                self._held = text
                return ""
            self._part = "thought" if bare.startswith("<think>") else "answer"
        if self._part == "thought":
            _, closed, rest = text.partition("</think>")
            if not closed:
                self._held = text[-7:]
                return ""
            self._part, text = "gap", rest
        if self._part == "gap":
            text = text.lstrip()
            self._part = "answer" if text else "gap"
        if not last and "\ud800" <= text[-1:] <= "\udbff":
            text, self._held = text[:-1], text[-1]
        return text if text.isascii() else _whole(text)


def _whole(text: str) -> str:
    """Join surrogates that belong together; one that stays alone becomes U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
