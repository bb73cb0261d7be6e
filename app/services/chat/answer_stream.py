"""Emit an answer while it is written, and collect it."""

from collections.abc import Callable
from contextlib import suppress
from time import perf_counter

from app.limits import ANSWER_LIMIT
from app.schemas import CitationSpan, Event, FinishReason, Token, Usage
from app.services.chat.citations import CitationFilter
from app.services.models.completion import Delta

CHARACTERS_PER_TOKEN = 4


class AnswerTooLong(Exception):
    """The answer has reached ANSWER_LIMIT; what was emitted so far is the answer."""


class AnswerStream:
    """Emits the pieces of an answer; markers that name none of the `sources` are dropped."""

    def __init__(self, sources: int, emit: Callable[[Event], None]) -> None:
        self._filter = CitationFilter(sources)
        self._emit = emit
        self._text: list[str] = []
        # Bytes that the answer may still have.
        self._left = ANSWER_LIMIT
        self.first_token_at: float | None = None
        self.finish_reason: FinishReason = "stop"
        self.usage: Usage | None = None
        self.cut_short = False

    def on_delta(self, delta: Delta) -> None:
        """Take the next piece from a model. Raises AnswerTooLong."""
        # Normalized markers may be longer than what the model wrote, so one piece is bounded too.
        if text := self._filter.feed(delta.text[:ANSWER_LIMIT]):
            self._write(text)
        if len(delta.text) > ANSWER_LIMIT:
            self._cut()
        if delta.finish is not None:
            self.finish_reason = delta.finish
        if delta.usage is not None:
            self.usage = delta.usage

    def limit_sources(self, sources: int) -> None:
        """Only the first `sources` may be cited; call it before the first piece."""
        self._filter = CitationFilter(sources)

    def refuse(self, text: str) -> None:
        """Write a whole answer that is a refusal."""
        with suppress(AnswerTooLong):
            self.on_delta(Delta(text))
            self.flush()
        self.finish_reason = "refused"

    def flush(self) -> None:
        """Emit what is still held back; call it after the last piece. Raises AnswerTooLong."""
        if text := self._filter.flush():
            self._write(text)

    def _write(self, text: str) -> None:
        if self.first_token_at is None:
            self.first_token_at = perf_counter()
        size = len(text) if text.isascii() else len(text.encode())
        if size > self._left:
            text = self._beginning(text)
        self._text.append(text)
        self._emit(Token(text))
        if size > self._left:
            self._cut()
        self._left -= size

    def _beginning(self, text: str) -> str:
        """Return what the answer has room for, without a part of a marker."""
        start = sum(map(len, self._text))
        end = start + len(text.encode()[: self._left].decode(errors="ignore"))
        spans = self._filter.spans
        while spans and spans[-1].end > end:
            end = min(end, spans.pop().start)
        return text[: end - start]

    def _cut(self) -> None:
        self.finish_reason = "length"
        raise AnswerTooLong

    def tokens(self, prompt_length: int) -> int:
        """Return the model's tokens, estimated from the characters if it has not told."""
        if self.usage is not None:
            return self.usage.prompt_tokens + self.usage.completion_tokens
        return (prompt_length + len(self.text)) // CHARACTERS_PER_TOKEN

    @property
    def text(self) -> str:
        """The answer so far."""
        return "".join(self._text)

    @property
    def spans(self) -> tuple[CitationSpan, ...]:
        """The citation markers so far."""
        return tuple(self._filter.spans)
