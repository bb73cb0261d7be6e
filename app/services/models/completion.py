"""Events of a chat completion, OpenAI's kind, come in; pieces of an answer go out. Pure."""

import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Literal, TypeAlias

import msgspec
from msgspec import Struct

from app.infra.http.sse import BadEvent, SSEEvent
from app.schemas import Usage

Finish: TypeAlias = Literal["stop", "length", "refused"]


class Delta(Struct, frozen=True, gc=False):
    """The next piece of an answer; `finish` comes once, `usage` with it or after it or never."""

    text: str = ""
    finish: Finish | None = None
    usage: Usage | None = None


def joined(deltas: Sequence[Delta]) -> Delta:
    """Make one piece of several."""
    finish = next((delta.finish for delta in deltas if delta.finish), None)
    usage = next((delta.usage for delta in reversed(deltas) if delta.usage), None)
    return Delta("".join([delta.text for delta in deltas]), finish, usage)


class _Said(Struct, gc=False):
    content: str | None = None


class _Choice(Struct, gc=False):
    delta: _Said | None = None
    message: _Said | None = None
    finish_reason: str | None = None


class _Usage(Struct, gc=False):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Chunk(Struct, gc=False):
    choices: tuple[_Choice, ...] | None = None
    usage: _Usage | None = None
    error: object = None


_CHUNK = msgspec.json.Decoder(_Chunk)
_NO_CHOICE = _Choice()
_FINISH: dict[str, Finish] = {"length": "length", "content_filter": "refused"}


class CompletionDecoder:
    """Decodes one answer; `finished` once the model has said that it is whole."""

    def __init__(self) -> None:
        self.finished = False
        self._text = _AnswerText()
        self._usage: Usage | None = None

    def decode(self, event: SSEEvent) -> Delta | None:
        """Return what an event adds to the answer, if anything. Raises BadEvent."""
        try:
            chunk = _CHUNK.decode(event.data)
        except (msgspec.DecodeError, RecursionError):
            if event.data.strip() == "[DONE]":
                return None if self.finished else self._finish("", "stop")
            chunk = _odd_chunk(event.data)
        if chunk.error is not None or event.event == "error":
            if self.finished:
                return None
            raise BadEvent("an event is an error, or no chat completion")
        choice = chunk.choices[0] if chunk.choices else _NO_CHOICE
        said = choice.message or choice.delta
        text = self._text.add(said.content) if said and said.content else ""
        count, reason = chunk.usage, choice.finish_reason
        if text and count is None and reason is None and choice.message is None:
            # As most are.
            return Delta(text)
        if count:
            self._usage = Usage(count.prompt_tokens or 0, count.completion_tokens or 0)
        # Some servers send "" with every chunk; and an unstreamed answer is whole by itself.
        if choice.message:
            reason = reason or "stop"
        if reason and not self.finished:
            return self._finish(text, _FINISH.get(reason, "stop"))
        # A count may come with every chunk: before the finish it is no beginning of an answer.
        usage = self._usage if self.finished and count else None
        return Delta(text, None, usage) if text or usage else None

    def _finish(self, text: str, finish: Finish) -> Delta:
        self.finished = True
        return Delta(text + self._text.add("", last=True), finish, self._usage)


def _odd_chunk(data: str) -> _Chunk:
    if not data.strip():
        return _Chunk()
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
        if self._part == "answer" and not self._held and piece.isascii():
            return piece
        text, self._held = self._held + piece, ""
        if self._part == "start":
            bare = text.lstrip()
            if not last and "<think>".startswith(bare):
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
