"""The body of a response is read as an answer in each framing, however its bytes arrive."""

import json
from contextlib import suppress
from itertools import pairwise
from math import inf
from time import process_time
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.infra.http.sse import BadEvent
from app.services.models.answer_reader import RESPONSE_LIMIT, AnswerReader
from app.services.models.completion import Delta, EmptyAnswer, join_deltas
from app.services.models.deadlines import AnswerDeadlines
from app.services.models.thoughts import ThoughtFilter, ThoughtMarks
from tests.scripted_model import chunk, event, reasoning, say, whole

MARKS = ThoughtMarks()
SILENCE, FINISHED, ENDED = 20.0, 5.0, 0.5
PIECES = ("Panels ", "are größer ", "😀.")
TEXT = "".join(PIECES)
CHUNKS = [*(chunk({"content": text}) for text in PIECES), chunk({}, "stop")]
DONE = b"data: [DONE]\n\n"
STREAM = b"".join(map(event, CHUNKS)) + DONE
LINES = b"".join(json.dumps(each).encode() + b"\n" for each in CHUNKS)
MARK = b"\xef\xbb\xbf"
LONG = say(
    reasoning("Hm."), b": ping\n\nevent: x\n", "<think>a</think>naïve ", "😀", usage=(7, 2)
).body


class Reading:
    """Feeds a reader and collects its deltas."""

    def __init__(self) -> None:
        self.deltas: list[Delta] = []
        deadlines = AnswerDeadlines(lambda: 0.0, until=0.0, silence=SILENCE, thinking=inf)
        self.reader = AnswerReader(self.deltas.append, deadlines, ThoughtFilter(MARKS))

    def feed(self, data: bytes | dict[str, Any]) -> float | None:
        return self.reader.feed(data if isinstance(data, bytes) else event(data))

    @property
    def answer(self) -> Delta:
        return join_deltas(self.deltas)


def read(*pieces: bytes) -> Delta:
    reading = Reading()
    for each in pieces:
        reading.feed(each)
    reading.reader.end()
    return reading.answer


@pytest.mark.parametrize(
    "body",
    [
        STREAM,
        STREAM.replace(b"\n", b"\r\n"),
        STREAM.replace(b"\n", b"\r"),
        STREAM.replace(b"data: ", b"data:"),
        STREAM.replace(b"data: ", b" data: "),
        STREAM.replace(b"data: ", b"data: data: "),
        STREAM.replace(b"\n\n", b"\n"),
        STREAM.replace(b"data: ", b"event: message\ndata: ").replace(b"\n\n", b"\n"),
        STREAM.replace(b"data: {", MARK + b"data: {"),
        b"\n\n" + MARK + STREAM,
        # Without [DONE], the last blank line, or the last end of line.
        *(STREAM.removesuffix(DONE)[:end] for end in (None, -1, -2)),
        *(STREAM[:end] for end in (-1, -2)),
        # JSON lines, and documents.
        *(LINES[:end] for end in (None, -1)),
        LINES.replace(b"\n", b"\r\n\r\n"),
        LINES.replace(b"\n", b"\ndata: "),
        *(prefix + whole(TEXT).body for prefix in (b"", MARK, b"\n\n  \n")),
        b"[" + whole(TEXT).body + b"]",
        json.dumps(json.loads(whole(TEXT, "").body)).encode() + b"\n",
        whole(TEXT, "").body,
        json.dumps(CHUNKS).encode(),
    ],
)
def test_each_framing_of_an_answer_is_read(body: bytes) -> None:
    answer = read(body)

    assert (answer.text, answer.finish) == (TEXT, "stop")
    assert read(*(bytes([byte]) for byte in body)) == answer


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"Service Unavailable",
        b"<html><h1>Busy</h1></html>",
        b": ping\n\n",
        b"data: ping\n\ndata: pong\n\n",
        STREAM[: STREAM.index(b"data", 9)],
        STREAM.removesuffix(DONE)[:-9],
        LINES[: LINES.index(b"\n")] + b"\n" + LINES[:30],
        b'{"error": {"message": "x"}}',
        b'{"choices": []}',
        whole(TEXT).body[:-9],
        b'error: {"code": 500}\n\n' + DONE,
        event(CHUNKS[0]) + b'error: {"code": 500}\n\n' + DONE,
        event(CHUNKS[0]) + b'event: error\ndata: {"message": "x"}\n\n' + DONE,
    ],
)
def test_a_body_without_a_complete_answer_fails(body: bytes) -> None:
    with pytest.raises(BadEvent):
        read(body)


def test_json_lines_are_passed_on_as_they_arrive() -> None:
    reading = Reading()
    first, second, *_ = LINES.splitlines(keepends=True)

    assert (reading.feed(first), reading.feed(second)) == (SILENCE, SILENCE)
    assert reading.answer == Delta(PIECES[0] + PIECES[1])


def test_a_large_document_fails() -> None:
    with pytest.raises(BadEvent, match="larger"):
        read(b'{"a": "' + b"x" * 5_000_000)


def test_the_end_is_awaited_longer_until_it_is_certain() -> None:
    usage = {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}
    reading = Reading()

    assert reading.feed(b": ping\n\n") == SILENCE
    assert reading.feed(chunk({"content": "a"})) == SILENCE
    assert reading.feed(chunk({}, "stop")) == FINISHED
    assert reading.feed(chunk({}, "stop")) is None
    assert reading.feed(usage) == ENDED
    assert reading.feed(DONE) is None


def test_text_after_a_finish_is_awaited_like_any_other() -> None:
    reading = Reading()

    assert reading.feed(chunk({"reasoning_content": "Hm."}, "stop")) == SILENCE
    assert reading.feed(chunk({"content": "a"}, "stop")) == SILENCE
    assert reading.feed(chunk({"content": "b"}, "stop")) == SILENCE
    assert reading.feed(DONE) == ENDED
    assert reading.answer == Delta("ab", "stop")


@pytest.mark.parametrize(
    ("chunks", "error", "complete"),
    [
        (CHUNKS, OSError(), True),
        (CHUNKS, BadEvent(), True),
        (CHUNKS, TimeoutError(), True),
        (CHUNKS[:-1], TimeoutError(), False),
        # Silence after a finish that proved premature is an end, a broken connection is not.
        ([*CHUNKS, CHUNKS[0], CHUNKS[-1]], TimeoutError(), True),
        ([*CHUNKS, CHUNKS[0], CHUNKS[-1]], OSError(), False),
        ([CHUNKS[-1]], OSError(), False),
        ([CHUNKS[-1]], TimeoutError(), False),
    ],
)
def test_an_error_fails_only_an_incomplete_answer(
    chunks: Any, error: Exception, complete: bool
) -> None:
    reading = Reading()
    for each in chunks:
        reading.feed(each)

    if complete:
        reading.reader.end(error)
        assert reading.answer.finish == "stop"
    else:
        with pytest.raises((type(error), EmptyAnswer)):
            reading.reader.end(error)


BODIES = st.sampled_from([STREAM, LONG, LINES, whole(TEXT).body, STREAM.replace(b"\n", b"\r\n")])


@given(BODIES, st.lists(st.integers(0, 2_000)))
def test_every_split_of_the_same_bytes_is_the_same_answer(body: bytes, cuts: list[int]) -> None:
    places = sorted({0, *(cut for cut in cuts if cut < len(body)), len(body)})

    assert read(*(body[a:b] for a, b in pairwise(places))) == read(body)


FIELDS = """choices delta message content text type finish_reason index error usage code refusal
reasoning object base_resp prompt_tokens value"""
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(FIELDS.split()),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
EVENTS = JSON.map(lambda value: b"data: " + json.dumps(value).encode() + b"\n\n")


@given(st.lists(st.binary(max_size=30) | EVENTS | st.sampled_from([STREAM, LINES, DONE])))
@example([b"data: " + b"[" * 100_000 + b"\n\n"])
def test_garbage_raises_nothing_but_bad_event(pieces: list[bytes]) -> None:
    with suppress(BadEvent):
        read(*pieces)


@pytest.mark.parametrize(
    "contents",
    [
        ["</think>" * 50_000],
        ["<think></think>" * 25_000],
        [" " * 16] * 20_000,
        ["Hello", " <" + " " * 40_000],
        ["Hello", " <", *[" " * 16] * 4_000],
        ["Hello", "<|im_end|> " * 50_000],
    ],
)
def test_white_space_and_marks_are_read_in_linear_time(contents: list[str]) -> None:
    body = b"".join(event(chunk({"content": text})) for text in contents) + DONE

    began = process_time()
    with suppress(EmptyAnswer):
        read(body)
    assert process_time() - began < 2


@pytest.mark.parametrize("content", [b"[%b]", b'{"choices": [{"delta": {"content": [%b]}}]}'])
def test_an_event_that_is_nested_too_deeply_fails(content: bytes) -> None:
    for depth in range(100, 1_000, 50):
        with pytest.raises(BadEvent):
            read(b"data: " + content % (b"[" * depth + b"]" * depth) + b"\n\n")


def test_an_event_of_very_many_documents_is_an_error() -> None:
    answer = b"".join(json.dumps(each).encode() for each in CHUNKS)
    assert read(b"data: " + b"{}" * 9_000 + answer + b"\n\n").text == TEXT
    with pytest.raises(BadEvent, match="20000 documents"):
        read(b"data: " + b"{}" * 30_000 + answer + b"\n\n")


def test_endless_thoughts_end_the_response() -> None:
    reading = Reading()
    thought = event(reasoning("Hm. " * 250_000))
    with pytest.raises(BadEvent, match="64 MB"):
        list(map(reading.feed, [thought] * (RESPONSE_LIMIT // len(thought) + 2)))
    assert reading.deltas == []
