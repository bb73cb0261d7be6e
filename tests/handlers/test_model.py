"""What viewers receive when the model server answers, stalls or fails."""

import json
from collections.abc import Callable

import anyio
import pytest
from msgspec.structs import replace

from app.config import Settings
from app.limits import ANSWER_LIMIT
from tests.scripted_model import (
    DIE,
    Answer,
    ScriptedModel,
    byte_by_byte,
    in_one_write,
    page,
    reasoning,
    refuse,
    say,
)
from tests.service import Client, Event, answer, running

pytestmark = pytest.mark.anyio

QUESTION = "How fast should the attack be when I side-chain the bass to the kick?"
SECRET = "sk-a-secret-key"


def failed(events: list[Event], *, retryable: bool = True) -> Event:
    """Check that the stream ended with one `error`, and return it."""
    assert [e.name for e in events if e.name in ("done", "error")] == ["error"]
    last = events[-1]
    assert last.name == "error"
    assert last.data["type"] == "urn:chrysopedia:problem:model-failed"
    assert last.data["retryable"] is retryable
    assert SECRET not in json.dumps(last.data)
    assert "127.0.0.1" not in json.dumps(last.data)
    return last


async def test_answer_is_the_models_tokens_byte_for_byte(
    chat: Client, model: ScriptedModel
) -> None:
    tokens = ["低音は", "🎛️ [1", "] \u2028 a\n\nb\r", "data: x\n\n", '\u0085\u2029\\ " é']
    model.answers(say(*tokens, usage=(12, 34)))
    events = await chat.ask(QUESTION)
    assert answer(events) == "".join(tokens)
    done = events[-1].data
    assert done["usage"] == {"prompt_tokens": 12, "completion_tokens": 34}
    mark = done["citations"][0]
    assert answer(events)[mark["start"] : mark["end"]] == "[1]"


async def test_data_line_contains_no_raw_line_end_of_any_kind(
    chat: Client, model: ScriptedModel
) -> None:
    model.answers(say("a\u2028b\u2029c\u0085d\x0be\x0cf\x1cg\rh\ni"))
    async with chat.http.post(chat.url + "/api/v1/chat", json={"query": QUESTION}) as response:
        text = (await response.read()).decode()
    data = [line for line in text.splitlines() if line.startswith("data: ")]
    assert [json.loads(line[6:]) for line in data][
        1
    ] == "a\u2028b\u2029c\u0085d\x0be\x0cf\x1cg\rh\ni"


@pytest.mark.parametrize("sent", [byte_by_byte, in_one_write])
async def test_answer_does_not_depend_on_how_the_model_chunks_its_bytes(
    chat: Client, model: ScriptedModel, sent: Callable[[Answer], Answer]
) -> None:
    model.answers(sent(say("Set it to ", "1 ms", " [1], or ", "[99]", " 音 🎛", ".")))
    assert answer(await chat.ask(QUESTION)) == "Set it to 1 ms [1], or 音 🎛."


async def test_model_gets_the_key_the_sources_and_the_question(
    chat: Client, model: ScriptedModel
) -> None:
    events = await chat.ask(QUESTION)
    request = model.requests[0]
    assert request.headers["authorization"] == f"Bearer {SECRET}"
    assert request.body["model"] == "first"
    assert request.body["stream_options"] == {"include_usage": True}
    assert request.messages[-1]["content"].count("<source ") == len(events[0].data)
    assert request.messages[-1]["content"].endswith(f"Question: {QUESTION}")


async def test_reasoning_is_not_part_of_the_answer(chat: Client, model: ScriptedModel) -> None:
    model.answers(say(reasoning("hm"), "<think>", "let me", " see</think>\n", "Yes [1]."))
    assert answer(await chat.ask(QUESTION)) == "Yes [1]."


async def test_model_that_stalls_before_its_first_token_is_an_error(
    chat: Client, model: ScriptedModel
) -> None:
    model.answers(say(anyio.Event(), "never"))
    events = await chat.ask(QUESTION)
    failed(events)
    assert [e.name for e in events] == ["sources", "error"]


async def test_model_that_stalls_later_is_an_error_after_its_tokens(
    chat: Client, model: ScriptedModel
) -> None:
    model.answers(say("One", anyio.Event(), "never"))
    events = await chat.ask(QUESTION)
    failed(events)
    assert answer(events) == "One"
    with anyio.fail_after(5):
        await model.disconnected.wait()


async def test_model_that_dies_after_its_first_token_is_not_retried(
    chat: Client, model: ScriptedModel
) -> None:
    model.answers(say("One", " two", DIE))
    events = await chat.ask(QUESTION)
    failed(events)
    assert answer(events) == "One two"
    assert len(model.requests) == 1


async def test_model_request_is_retried_after_a_429(chat: Client, model: ScriptedModel) -> None:
    model.answers(refuse(429, headers={"Retry-After": "0"}), say("Yes [1]."))
    assert answer(await chat.ask(QUESTION)) == "Yes [1]."
    assert len(model.requests) == 2


@pytest.mark.parametrize("broken", [page(), page(status=502), refuse(401), refuse(500)])
async def test_error_does_not_contain_text_from_the_model_server(
    chat: Client, model: ScriptedModel, broken: Answer
) -> None:
    model.answers(broken)
    events = await chat.ask(QUESTION)
    failed(events, retryable=broken.status != 401)
    assert "script" not in json.dumps(events[-1].data)
    assert "html" not in json.dumps(events[-1].data)


async def test_answer_that_takes_too_long_is_an_error(
    chat_settings: Settings, model: ScriptedModel
) -> None:
    model.answers(say("One", anyio.Event(), "never"))
    settings = replace(chat_settings, llm_silence_timeout=9.0, llm_answer_timeout=0.1)
    async with running(settings) as service:
        events = await service.ask(QUESTION)
    failed(events)
    assert answer(events) == "One"


async def test_empty_answer_is_an_error(chat: Client, model: ScriptedModel) -> None:
    model.answers(say())
    failed(await chat.ask(QUESTION))


async def test_answer_cut_at_the_models_limit_has_finish_reason_length(
    chat: Client, model: ScriptedModel
) -> None:
    model.answers(say("Half an ans", finish="length"))
    assert (await chat.ask(QUESTION))[-1].data["finish_reason"] == "length"


@pytest.mark.parametrize("piece", ["word " * 1_000, "a" * 3_000_000])
async def test_endless_answer_is_cut_and_the_models_stream_closed(
    chat: Client, model: ScriptedModel, piece: str
) -> None:
    model.answers(say(*[piece] * 20, anyio.Event()))
    events = await chat.ask(QUESTION)
    assert len(answer(events)) == ANSWER_LIMIT
    assert events[-1].data["finish_reason"] == "length"
    with anyio.fail_after(10):
        await model.disconnected.wait()
    _, conversation, _ = await chat.call(
        "GET", f"/api/v1/conversations/{events[-1].data['conversation_id']}"
    )
    assert [turn["answer"] for turn in conversation["turns"]] == [answer(events)]


async def test_fallback_model_answers_if_the_first_fails(
    chat_settings: Settings, model: ScriptedModel
) -> None:
    model.answers(refuse(404), say("From the second [1]."))
    async with running(replace(chat_settings, llm_fallback_model="second")) as service:
        assert answer(await service.ask(QUESTION)) == "From the second [1]."
    assert [request.body["model"] for request in model.requests] == ["first", "second"]


@pytest.mark.parametrize("own_key", ["", "sk-2"])
async def test_no_secret_of_the_first_server_is_sent_to_the_fallback_server(
    chat_settings: Settings, model: ScriptedModel, own_key: str
) -> None:
    secrets = {"X-Secret": SECRET}
    model.answers(refuse(401))
    async with ScriptedModel() as other:
        other.answers(say("From the other [1]."))
        settings = replace(
            chat_settings,
            llm_headers=secrets,
            llm_extra_body=secrets,
            llm_fallback_base_url=other.base_url,
            llm_fallback_api_key=own_key,
        )
        async with running(settings) as service:
            assert answer(await service.ask(QUESTION)) == "From the other [1]."
    assert SECRET in str(model.requests)
    assert SECRET not in str(other.requests)
    assert other.requests[0].headers.get("authorization") == (
        f"Bearer {own_key}" if own_key else None
    )


async def test_fallback_model_of_the_same_server_shares_its_settings(
    chat_settings: Settings, model: ScriptedModel
) -> None:
    model.answers(refuse(404), say("From the second [1]."))
    settings = replace(
        chat_settings,
        llm_headers={"X-A": "1"},
        llm_extra_body={"top_k": 1},
        llm_fallback_model="second",
        llm_fallback_extra_body={"top_k": 2},
    )
    async with running(settings) as service:
        await service.ask(QUESTION)
    first, second = model.requests
    assert [request.body["top_k"] for request in model.requests] == [1, 2]
    for name in ("authorization", "x-a"):
        assert first.headers[name] == second.headers[name]


async def test_question_in_another_language_is_searched_with_its_translation(
    chat: Client, model: ScriptedModel
) -> None:
    model.answers(say(QUESTION), say("1 ms [1]."))
    question = "Wie schnell soll der Attack beim Sidechain sein?"
    events = await chat.ask(question)
    assert "into English" in model.requests[0].messages[0]["content"]
    assert events[-1].data["scope"]["query"] == f"{question} ({QUESTION})"
    assert model.requests[1].messages[-1]["content"].endswith(f"Question: {question}")


async def test_first_question_without_sources_calls_no_model(
    chat: Client, model: ScriptedModel
) -> None:
    events = await chat.ask("Who won the football world cup in Montevideo?")
    assert events[-1].data["finish_reason"] == "refused"
    assert model.requests == []


async def test_prompt_that_the_provider_filters_is_a_refusal(
    chat: Client, model: ScriptedModel
) -> None:
    model.answers(refuse(400, '{"error": {"code": "content_filter", "param": "prompt"}}'))
    events = await chat.ask(QUESTION)
    assert events[-1].data["finish_reason"] == "refused"
    assert answer(events) == "The language model declined to answer this question."


async def test_prompt_that_is_too_long_is_sent_again_with_fewer_sources(
    chat: Client, model: ScriptedModel
) -> None:
    too_long = refuse(400, '{"error": {"code": "context_length_exceeded"}}')
    model.answers(too_long, say("2 ms [1]."), too_long)
    assert answer(await chat.ask(QUESTION)) == "2 ms [1]."
    whole, half = (request.messages[-1]["content"].count("<source") for request in model.requests)
    assert half == (whole + 1) // 2
    (error,) = (e.data for e in await chat.ask(QUESTION) if e.name == "error")
    assert error["retryable"] is False
    assert "too long" in error["detail"]
