"""Decode the events of an OpenAI chat completion into pieces of an answer."""

import re
from collections.abc import Sequence
from enum import IntEnum

import msgspec
from msgspec import Struct

from app.infra.http.sse import BadEvent, SSEEvent
from app.schemas import Usage
from app.services.models.chunks import is_done, parse_documents, parse_usage
from app.services.models.content import has_thoughts, part_of, text_of
from app.services.models.finish_reasons import Finish, is_refusal, parse_finish
from app.services.models.repeats import NewText
from app.services.models.reported_error import find_error
from app.services.models.thoughts import ThoughtFilter


class Delta(Struct, frozen=True, gc=False):
    """The next piece of an answer; the last one has `finish`, and it or a later one `usage`."""

    text: str = ""
    finish: Finish | None = None
    usage: Usage | None = None


def join_deltas(deltas: Sequence[Delta]) -> Delta:
    """Join consecutive pieces into one."""
    finish = next((delta.finish for delta in deltas if delta.finish), None)
    usage = next((delta.usage for delta in reversed(deltas) if delta.usage), None)
    return Delta("".join([delta.text for delta in deltas]), finish, usage)


class EmptyAnswer(BadEvent):
    """The answer has no text. With `retry`, another attempt may have some."""

    def __init__(self, reason: str, retry: bool = True) -> None:
        super().__init__(reason)
        self.retry = retry


# An event of the usual form: one choice with a piece of text or of thoughts. Any other fails to
# decode, or has neither.
class _Content(Struct, gc=False):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None


class _Choice(Struct, gc=False):
    delta: _Content
    index: int = 0
    finish_reason: None = None
    message: None = None
    error: None = None


class _Chunk(Struct, gc=False):
    choices: tuple[_Choice]
    usage: None = None
    error: None = None


_SURROGATE = re.compile("[\ud800-\udfff]")
_USUAL = msgspec.json.Decoder(_Chunk)


class Phase(IntEnum):
    """How far an answer has come.

    `ANSWER`: more text may come. `FINISHED`: the model has marked its answer as complete, and may
    still send its usage. `ENDED`: nothing more is needed.
    """

    ANSWER = 0
    FINISHED = 1
    ENDED = 2


class CompletionDecoder:
    """Decodes one answer; `finish` is how the model has ended it so far."""

    def __init__(self, thoughts: ThoughtFilter) -> None:
        self.phase = Phase.ANSWER
        self.finish: Finish | None = None
        self._thoughts = thoughts
        self._new = NewText()
        # Whether the next text is part of the answer as it is unless it has "<" or surrogates.
        self._plain = False
        self._index = 0
        self._usage: Usage | None = None
        self._usage_after_finish = False
        # Text has followed a finish: only the end of the body or [DONE] is the end.
        self._finish_is_premature = False
        self._refused = False
        self._done = False
        self._ended = False

    def decode(self, event: SSEEvent) -> Delta | None:
        """Return what an event adds to the answer, if anything. Raises BadEvent."""
        try:
            (choice,) = _USUAL.decode(event.data).choices
        except (msgspec.DecodeError, RecursionError):
            return self._decode_unusual(event)
        delta = choice.delta
        piece = delta.content
        if not piece and (delta.reasoning_content or delta.reasoning):
            self._thoughts.found_elsewhere()
            return None
        if not piece or choice.index != self._index or self._ended:
            return self._decode_unusual(event)
        if self._plain and "<" not in piece and (piece.isascii() or not _SURROGATE.search(piece)):
            self._new.length += len(piece)
            return Delta(piece)
        text = self._add(self._new.add(piece))
        self._update()
        return Delta(text) if text else None

    def end(self, whole: bool = False) -> Delta | None:
        """Return the last piece of the answer unless it was returned before.

        With `whole`, the answer came in one document, which needs no finish. Raises BadEvent if the
        answer is not complete, EmptyAnswer if it has no text and is not a refusal.
        """
        if self._ended:
            return None
        text = self._thoughts.add(self._new.end(), last=True, cut=self.finish == "length")
        finish = "refused" if self._refused else self.finish
        if finish is None and not (self._done or (whole and self._new.length)):
            raise BadEvent("the body ended before the answer")
        if not self._thoughts.answered and finish != "refused":
            if finish == "length":
                reason = "the model used all of its tokens for thinking; raise LLM_MAX_TOKENS"
                raise EmptyAnswer(reason, retry=False)
            raise EmptyAnswer("the answer is empty")
        self._ended = True
        self._update()
        return Delta(text, finish or "stop", self._usage)

    def _decode_unusual(self, event: SSEEvent) -> Delta | None:
        usage, text = self._usage, ""
        try:
            for document in parse_documents(event.data):
                text += self._take(document, event.event)
            self._done = self._done or event.event == "done"
        except RecursionError:
            raise BadEvent("an event is nested too deeply") from None
        except BadEvent:
            # An error after the end of the answer is harmless.
            if self.phase is Phase.ANSWER:
                raise
        if self._done and (last := self.end()):
            return Delta(text + last.text, last.finish, last.usage)
        self._update()
        late_usage = self._usage if self._ended and self._usage is not usage else None
        return Delta(text, None, late_usage) if text or late_usage else None

    def _take(self, document: object, event: str) -> str:
        """Return the text of a decoded document."""
        if isinstance(document, list):
            return "".join([self._take(part, event) for part in document])
        if not isinstance(document, dict):
            self._done = self._done or is_done(document)
            return ""
        if usage := parse_usage(document.get("usage")):
            self._usage = usage
            self._usage_after_finish = self.finish is not None
        if self._done:
            return ""
        if error := find_error(document, event):
            if not (is_refusal(error.error.code or error.error.type) and self._thoughts.answered):
                raise error
            self._refused = self._done = True
        choice = self._own_choice(document.get("choices"))
        return self._take_choice(choice) if choice else ""

    def _own_choice(self, choices: object) -> dict[str, object] | None:
        """Return the choice that continues the answer: the first one that had text."""
        if isinstance(choices, dict):
            choices = [choices]
        found = [c for c in choices if isinstance(c, dict)] if isinstance(choices, list) else []
        by_index = {_index(choice): choice for choice in reversed(found)}
        first = _index(found[0]) if found else 0
        # Some servers count the pieces of their only choice, from 1.
        counts_pieces = len(found) == 1 and first > self._index > 0
        if found and (not self._new.length or counts_pieces):
            self._index = first
        return by_index.get(self._index)

    def _take_choice(self, choice: dict[str, object]) -> str:
        delta, message = part_of(choice, "delta"), part_of(choice, "message")
        if has_thoughts(delta) or has_thoughts(message):
            self._thoughts.found_elsewhere()
        if delta.get("refusal") or message.get("refusal"):
            self._refused = True
        text = ""
        if piece := text_of(delta.get("content") or choice.get("text") or delta.get("refusal")):
            text = self._add(self._new.add(piece))
        elif whole := text_of(message.get("content") or message.get("refusal")):
            text = self._add(self._new.add_message(whole))
        finish = parse_finish(choice.get("finish_reason") or choice.get("finishReason"))
        self.finish = finish or self.finish
        return text

    def _add(self, text: str) -> str:
        if self.finish is not None and text.strip():
            self._finish_is_premature = True
        return self._thoughts.add(text)

    def _update(self) -> None:
        answered = self._thoughts.answered or self.finish == "refused"
        if self._ended:
            self.phase = Phase.ENDED
        elif self.finish is None or self._finish_is_premature or not answered:
            self.phase = Phase.ANSWER
        else:
            self.phase = Phase.ENDED if self._usage_after_finish else Phase.FINISHED
        self._plain = self._thoughts.plain and self._new.settled and self.finish is None


def _index(choice: dict[str, object]) -> int:
    index = choice.get("index")
    return index if isinstance(index, int) else 0
