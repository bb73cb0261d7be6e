"""Chat completions of different servers are decoded into the same pieces of an answer."""

import pytest

from app.infra.http.sse import BadEvent, SSEEvent
from app.schemas import Usage
from app.services.models.completion import CompletionDecoder, Delta, Finish


def deltas(*chunks: str) -> list[Delta]:
    """Decode the JSON of several events as one answer."""
    decoder = CompletionDecoder()
    return [delta for chunk in chunks if (delta := decoder.decode(SSEEvent(chunk)))]


def text_of(*contents: str) -> str:
    """Return the text of an answer; the contents are JSON strings without their quotes."""
    chunks = [f'{{"choices": [{{"delta": {{"content": "{text}"}}}}]}}' for text in contents]
    return "".join(delta.text for delta in deltas(*chunks, "[DONE]"))


@pytest.mark.parametrize(
    ("reason", "finish"),
    [("stop", "stop"), ("length", "length"), ("content_filter", "refused"), ("eos", "stop")],
)
def test_each_finish_reason_is_mapped(reason: str, finish: Finish) -> None:
    ends = f'{{"choices": [{{"delta": {{}}, "finish_reason": "{reason}"}}]}}'

    assert deltas(ends, ends, "[DONE]") == [Delta(finish=finish)]


@pytest.mark.parametrize(
    "chunk",
    [
        "",
        "{}",
        '{"choices": null, "usage": null, "error": null}',
        '{"choices": []}',
        '{"choices": [{"index": 0, "delta": null, "finish_reason": ""}]}',
        '{"choices": [{"delta": {"role": "assistant", "content": null}}]}',
        '{"choices": [{"delta": {"content": ""}}], "usage": {"prompt_tokens": 5}}',
        '{"choices": [{"delta": {"reasoning": "a", "reasoning_content": "b"}}]}',
    ],
)
def test_a_chunk_without_content_adds_nothing(chunk: str) -> None:
    assert deltas(chunk) == []


def test_usage_comes_with_the_finish_or_after_it() -> None:
    usage = '{"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2}}'

    assert deltas(usage, "[DONE]") == [Delta(finish="stop", usage=Usage(5, 2))]
    assert deltas("[DONE]", usage) == [Delta(finish="stop"), Delta(usage=Usage(5, 2))]


@pytest.mark.parametrize("invalid", ["[]", "1", '{"choices": 1}', "{]", "[" * 100_000])
def test_an_invalid_chunk_fails_an_answer_unless_it_is_complete(invalid: str) -> None:
    with pytest.raises(BadEvent):
        deltas(invalid)
    assert deltas("[DONE]", invalid) == [Delta(finish="stop")]


def test_an_event_named_error_fails_the_answer() -> None:
    with pytest.raises(BadEvent):
        CompletionDecoder().decode(SSEEvent('{"message": "out of memory"}', "error"))


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (" <think>Hm. <b></think>  Yes <think>no</think>", "Yes <think>no</think>"),
        ("<think></think>Yes", "Yes"),
        ("<think>Hm. </thin", ""),
        *((text, text) for text in ("<", "<thi", " <thinking> a", "a<think>", "</think> a", "  ")),
    ],
)
def test_reasoning_at_the_start_is_removed(content: str, text: str) -> None:
    assert text_of(*content) == text
    assert [text_of(content[:i], content[i:]) for i in range(len(content))] == [text] * len(content)


@pytest.mark.parametrize(
    ("contents", "text"),
    [
        (["a\\ud83d", "\\ude00b"], "a😀b"),
        (["\\ud83d", "", "\\ude00\\ud83d", "\\ude01"], "😀😁"),
        (["a\\ud83d"], "a�"),
        (["\\ud83d", "b", "\\ude00"], "�b�"),
    ],
)
def test_an_emoji_split_over_two_chunks_is_joined(contents: list[str], text: str) -> None:
    assert text_of(*contents) == text
