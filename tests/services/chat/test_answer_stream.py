"""The answer stream: an answer is cut at its limit, at a whole marker."""

import pytest

from app.limits import ANSWER_LIMIT
from app.schemas import Event, Token
from app.services.chat.answer_stream import AnswerStream, AnswerTooLong
from app.services.chat.citations import MAX_MARKERS
from app.services.models.completion import Delta


def streamed(*pieces: str, sources: int = 50) -> tuple[AnswerStream, list[Event]]:
    """Stream pieces until the answer is cut, and return it with its events."""
    events: list[Event] = []
    answer = AnswerStream(sources, events.append)
    try:
        for piece in pieces:
            answer.on_delta(Delta(piece))
        answer.flush()
    except AnswerTooLong:
        pass
    return answer, events


def check(answer: AnswerStream, events: list[Event]) -> None:
    assert len(answer.text.encode()) <= ANSWER_LIMIT
    assert answer.text == "".join(event.text for event in events if isinstance(event, Token))
    for span in answer.spans:
        assert answer.text[span.start : span.end] == f"[{span.number}]"


@pytest.mark.parametrize("word", ["a", "é", "漢", "🎛", "a" * 150 + " [12]"])
@pytest.mark.parametrize("size", [1, 7, 4 << 20])
def test_long_answer_is_cut_at_the_limit(word: str, size: int) -> None:
    text = word * (2 * ANSWER_LIMIT // len(word))
    answer, events = streamed(*(text[i : i + size] for i in range(0, len(text), size)))
    check(answer, events)
    assert answer.finish_reason == "length"
    assert ANSWER_LIMIT - len(answer.text.encode()) < 5


def test_answer_of_exactly_the_limit_is_complete() -> None:
    text = "a" * ANSWER_LIMIT
    answer, _ = streamed(*text[:3], text[3:])
    assert (answer.text, answer.finish_reason) == (text, "stop")


def test_markers_that_become_longer_do_not_exceed_the_limit() -> None:
    answer, events = streamed("a" * (ANSWER_LIMIT - 10), "[1-50]", "[1-50]")
    check(answer, events)
    assert answer.text.endswith("a[1][2][3]")
    assert len(answer.spans) == 3


def test_number_of_markers_is_bounded() -> None:
    answer, events = streamed("[1] " * (MAX_MARKERS + 9) + "end")
    check(answer, events)
    assert len(answer.spans) == MAX_MARKERS
    assert answer.finish_reason == "stop"


def test_refusal_that_is_too_long_is_cut() -> None:
    events: list[Event] = []
    answer = AnswerStream(3, events.append)
    answer.refuse("a" * (2 * ANSWER_LIMIT))
    check(answer, events)
    assert answer.finish_reason == "refused"
