"""Decode the events of an OpenAI chat completion into pieces of an answer."""

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
    """The next piece of an answer; one has `finish`, and it or a later one may have `usage`."""

    text: str = ""
    finish: Finish | None = None
    usage: Usage | None = None


def join_deltas(deltas: Sequence[Delta]) -> Delta:
    """Join consecutive pieces into one."""
    finish = next((delta.finish for delta in deltas if delta.finish), None)
    usage = next((delta.usage for delta in reversed(deltas) if delta.usage), None)
    return Delta("".join([delta.text for delta in deltas]), finish, usage)


class _Content(Struct, gc=False):
    content: str | None = None


class _Choice(Struct, gc=False):
    delta: _Content | None = None
    message: _Content | None = None
    finish_reason: str | None = None


class _TokenCounts(Struct, gc=False):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Chunk(Struct, gc=False):
    choices: tuple[_Choice, ...] | None = None
    usage: _TokenCounts | None = None
    error: object = None


_CHUNK = msgspec.json.Decoder(_Chunk)
_NO_CHOICE = _Choice()
_FINISH: dict[str, Finish] = {"length": "length", "content_filter": "refused"}


class CompletionDecoder:
    """Decodes one answer; `finished` is set once the model has marked it as complete."""

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
            chunk = _decode_leniently(event.data)
        if chunk.error is not None or event.event == "error":
            if self.finished:
                return None
            raise BadEvent("an event is an error, or not a chat completion")
        choice = chunk.choices[0] if chunk.choices else _NO_CHOICE
        part = choice.message or choice.delta
        text = self._text.add(part.content) if part and part.content else ""
        counts, reason = chunk.usage, choice.finish_reason
        if counts:
            self._usage = Usage(counts.prompt_tokens or 0, counts.completion_tokens or 0)
        # An answer in one piece needs no reason; some servers send the reason "" until the end.
        if choice.message:
            reason = reason or "stop"
        if reason and not self.finished:
            return self._finish(text, _FINISH.get(reason, "stop"))
        # Some servers send the counts with every chunk: only those after the finish are passed on.
        usage = self._usage if self.finished and counts else None
        return Delta(text, None, usage) if text or usage else None

    def _finish(self, text: str, finish: Finish) -> Delta:
        self.finished = True
        return Delta(text + self._text.add("", last=True), finish, self._usage)


def _decode_leniently(data: str) -> _Chunk:
    if not data.strip():
        return _Chunk()
    # Half of an escaped surrogate pair: msgspec rejects it, json accepts it.
    with suppress(ValueError, RecursionError):
        return msgspec.convert(json.loads(data), _Chunk)
    return _Chunk(error="not a chat completion")


class _AnswerText:
    """Removes `<think>…</think>` from the start of the content and joins split surrogate pairs."""

    def __init__(self) -> None:
        self._part: Literal["start", "thoughts", "gap", "answer"] = "start"
        self._held = ""

    def add(self, piece: str, last: bool = False) -> str:
        """Return the text that is certain so far; with the `last` piece, all remaining text."""
        if self._part == "answer" and not self._held and piece.isascii():
            return piece
        text, self._held = self._held + piece, ""
        if self._part == "start":
            bare = text.lstrip()
            if not last and "<think>".startswith(bare):
                self._held = text
                return ""
            self._part = "thoughts" if bare.startswith("<think>") else "answer"
        if self._part == "thoughts":
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
        return text if text.isascii() else _join_surrogates(text)


def _join_surrogates(text: str) -> str:
    """Join surrogate pairs; a lone surrogate becomes U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
