"""Emit an answer while it is written, and collect it."""

from collections.abc import Callable
from time import perf_counter

from app.schemas import CitationSpan, Event, FinishReason, Token, Usage
from app.services.chat.citations import CitationFilter
from app.services.models.completion import Delta

CHARACTERS_PER_TOKEN = 4


class AnswerStream:
    """Emits the pieces of an answer; markers that name none of the `sources` are dropped."""

    def __init__(self, sources: int, emit: Callable[[Event], None]) -> None:
        self._filter = CitationFilter(sources)
        self._emit = emit
        self._text: list[str] = []
        self.first_token_at: float | None = None
        self.finish_reason: FinishReason = "stop"
        self.usage: Usage | None = None
        self.cut_short = False

    def on_delta(self, delta: Delta) -> None:
        """Take the next piece from a model."""
        if text := self._filter.feed(delta.text):
            self._write(text)
        if delta.finish is not None:
            self.finish_reason = delta.finish
        if delta.usage is not None:
            self.usage = delta.usage

    def limit_sources(self, sources: int) -> None:
        """Only the first `sources` may be cited; call it before the first piece."""
        self._filter = CitationFilter(sources)

    def refuse(self, text: str) -> None:
        """Write a whole answer that is a refusal."""
        self.on_delta(Delta(text, finish="refused"))
        self.flush()

    def flush(self) -> None:
        """Emit what is still held back; call it after the last piece."""
        if text := self._filter.flush():
            self._write(text)

    def _write(self, text: str) -> None:
        if self.first_token_at is None:
            self.first_token_at = perf_counter()
        self._text.append(text)
        self._emit(Token(text))

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
