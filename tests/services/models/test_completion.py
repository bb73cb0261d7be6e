"""Chat completions of different servers are decoded into the same pieces of an answer."""

import json
from typing import Any

import pytest

from app.infra.http.sse import BadEvent, SSEEvent
from app.schemas import Usage
from app.services.models.completion import (
    CompletionDecoder,
    Delta,
    EmptyAnswer,
    Phase,
    join_deltas,
)
from app.services.models.reported_error import ReportedError
from app.services.models.thoughts import ThoughtFilter, ThoughtMarks

MARKS = ThoughtMarks()


def decoder() -> CompletionDecoder:
    return CompletionDecoder(ThoughtFilter(MARKS))


def piece(content: Any = None, finish: Any = None, **fields: Any) -> dict[str, Any]:
    """Return a chunk; `delta` and `choice` are further fields of these, all others of the chunk."""
    delta = {"content": content} | fields.pop("delta", {})
    choice = {"index": 0, "delta": delta, "finish_reason": finish} | fields.pop("choice", {})
    return {"choices": [choice], **fields}


def deltas(*chunks: object) -> list[Delta]:
    """Decode the data of several events as one answer."""
    decode = decoder().decode
    texts = (chunk if isinstance(chunk, str) else json.dumps(chunk) for chunk in chunks)
    return [delta for text in texts if (delta := decode(SSEEvent(text)))]


def whole(*chunks: object) -> Delta:
    return join_deltas(deltas(*chunks, "[DONE]"))


def text_of(*contents: str) -> str:
    return whole(*map(piece, contents)).text


ANSWER = (piece("Panels are "), piece("ten cm."))


def test_control_characters_in_a_string_are_kept() -> None:
    assert whole('{"choices": [{"delta": {"content": "a\tb\nc"}}]}').text == "a\tb\nc"


@pytest.mark.parametrize("done", ["[DONE]", " [DONE]\n", '["DONE"]', '"[DONE]"', "[done]", "DONE"])
def test_each_form_of_done_ends_an_answer(done: str) -> None:
    assert deltas(ANSWER[0], done, done) == [Delta("Panels are "), Delta(finish="stop")]


def test_an_event_named_done_ends_an_answer() -> None:
    decode = decoder()
    decode.decode(SSEEvent(json.dumps(ANSWER[0])))

    assert decode.decode(SSEEvent("{}", "done")) == Delta(finish="stop")


@pytest.mark.parametrize(
    "chunk",
    [
        "{}",
        {"choices": None, "usage": None, "error": None},
        {"choices": [{"index": 0, "delta": None, "finish_reason": ""}]},
        piece("", usage={"prompt_tokens": 5}),
        piece(delta={"reasoning": "a", "reasoning_content": "b"}),
        piece(delta={"reasoning": [{"text": "a"}]}),
        piece(delta={"tool_calls": [{"index": 0, "function": {"name": "x"}}]}),
    ],
)
def test_a_chunk_without_content_adds_nothing(chunk: object) -> None:
    assert deltas(chunk) == []


@pytest.mark.parametrize(
    "reason", ["stop", "EOS_TOKEN", "end_turn", "tool_calls", "FinishReason.STOP"]
)
def test_a_finish_before_the_end_of_the_text_is_no_end(reason: str) -> None:
    ends = [piece(text, reason) for text in ("a", "b", "c")]

    assert whole(*ends) == Delta("abc", "stop")


def test_the_last_finish_counts() -> None:
    assert whole(piece("a", "stop"), piece("b", "length")) == Delta("ab", "length")


def test_usage_comes_with_the_finish_or_after_it() -> None:
    usage = {"choices": [], "usage": {"prompt_tokens": 5.0, "completion_tokens": "2"}}

    assert deltas(usage, piece("a"), "[DONE]")[-1] == Delta(finish="stop", usage=Usage(5, 2))
    assert deltas(piece("a"), "[DONE]", usage)[1:] == [
        Delta(finish="stop"),
        Delta(usage=Usage(5, 2)),
    ]


@pytest.mark.parametrize(
    ("chunks", "phase"),
    [
        ([], Phase.ANSWER),
        ([piece("a")], Phase.ANSWER),
        ([piece("a", "stop")], Phase.FINISHED),
        ([piece("a", "stop", usage={"prompt_tokens": 1})], Phase.FINISHED),
        ([piece("a", "stop"), {"usage": {"prompt_tokens": 1}}], Phase.ENDED),
        ([piece("a", "stop"), "[DONE]"], Phase.ENDED),
        # A finish of the thoughts, and one that was followed by text.
        ([piece("", "stop", delta={"reasoning": "Hm."})], Phase.ANSWER),
        ([piece("a", "stop"), piece("b")], Phase.ANSWER),
        ([piece("a", "stop"), piece("b", "stop")], Phase.ANSWER),
        ([piece("a", "stop"), piece("b", "stop"), "[DONE]"], Phase.ENDED),
        ([piece("", "content_filter")], Phase.FINISHED),
    ],
)
def test_phase_tells_whether_more_text_may_come(chunks: Any, phase: Phase) -> None:
    decode = decoder()
    for chunk in chunks:
        decode.decode(SSEEvent(chunk if isinstance(chunk, str) else json.dumps(chunk)))

    assert decode.phase == phase


BAD = [
    "{]",
    "[" * 100_000,
    '{"choices": [{"delta": {"con',
    piece(1),
    piece("", "abort"),
    {"error": "x"},
]


@pytest.mark.parametrize("bad", BAD)
def test_an_unreadable_chunk_fails_an_answer_unless_it_is_complete(bad: object) -> None:
    for start in ((), (piece("a"),), (piece("a", "stop"), piece("b", "stop"))):
        with pytest.raises(BadEvent):
            deltas(*start, bad)
    assert whole(piece("a", "stop"), bad) == Delta("a", "stop")
    assert join_deltas(deltas(piece("a"), "[DONE]", bad)) == Delta("a", "stop")


@pytest.mark.parametrize(
    ("chunks", "retry"),
    [
        ([], True),
        ([piece("", "stop")], True),
        ([piece("  \n", "stop")], True),
        ([piece("", "tool_calls")], True),
        ([piece(None, delta={"reasoning": "Hm."}), piece("", "stop")], True),
        ([piece("<think>Hm."), piece("", "stop")], True),
        ([piece("<think>Hm."), piece("", "length")], False),
    ],
)
def test_an_answer_without_text_fails(chunks: Any, retry: bool) -> None:
    with pytest.raises(EmptyAnswer) as failed:
        whole(*chunks)
    assert failed.value.retry is retry
    assert ("LLM_MAX_TOKENS" in str(failed.value)) is not retry


def test_a_refusal_is_the_text_of_the_answer() -> None:
    refusals = [piece(delta={"refusal": text}) for text in ("I can't help ", "with that.")]
    message = {
        "choices": [{"message": {"content": None, "refusal": "No."}, "finish_reason": "stop"}]
    }

    assert whole(*refusals, piece(None, "stop")) == Delta("I can't help with that.", "refused")
    assert whole(message) == Delta("No.", "refused")
    assert whole(piece("", "content_filter")) == Delta("", "refused")


def test_an_error_that_is_a_refusal_ends_an_answer_that_has_begun() -> None:
    error = {"error": {"code": "content_filter", "message": "secret"}}

    assert join_deltas(deltas(piece("a"), error)) == Delta("a", "refused")
    with pytest.raises(ReportedError) as failed:
        deltas(error)
    assert failed.value.error.code == "content_filter"


@pytest.mark.parametrize(
    ("contents", "text"),
    [
        (["a\ud83d", "\ude00b"], "a😀b"),
        (["\ud83d", "", "\ude00\ud83d", "\ude01"], "😀😁"),
        (["a", "b", "c\ud83d", "\ude00"], "abc😀"),
        (["a\ud83d"], "a�"),
        (["\ud83d", "b", "\ude00"], "�b�"),
    ],
)
def test_an_emoji_split_over_two_chunks_is_joined(contents: list[str], text: str) -> None:
    assert text_of(*contents) == text


def test_a_finish_without_done_needs_the_end_of_the_body() -> None:
    finished, unfinished = decoder(), decoder()
    finished.decode(SSEEvent(json.dumps(piece("a", "stop"))))
    unfinished.decode(SSEEvent(json.dumps(piece("a"))))

    assert (finished.end(), finished.end()) == (Delta(finish="stop"), None)
    with pytest.raises(BadEvent, match="before the answer"):
        unfinished.end()


def test_a_whole_document_needs_no_finish() -> None:
    decode = decoder()
    decode.decode(SSEEvent('{"choices": [{"message": {"content": "Yes"}}]}'))

    assert decode.end(whole=True) == Delta(finish="stop")
