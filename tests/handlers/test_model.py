"""What a model server does, good or bad, and what the viewer of a stream gets of it."""

import json
from collections.abc import Callable

import anyio
import pytest
from msgspec.structs import replace

from app.config import Settings
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


def failed(events: list[Event]) -> Event:
    """The stream ended with exactly one `error`, told as a problem that may be tried again."""
    assert [e.name for e in events if e.name in ("done", "error")] == ["error"]
    last = events[-1]
    assert last.name == "error"
    assert last.data["type"] == "urn:chrysopedia:problem:model-failed"
    assert last.data["retryable"] is True
    assert SECRET not in json.dumps(last.data)
    assert "127.0.0.1" not in json.dumps(last.data)
    return last


async def test_the_models_tokens_are_the_answer_byte_for_byte(
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


async def test_no_line_end_of_any_kind_stands_raw_in_a_data_line(
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
async def test_how_the_bytes_are_cut_makes_no_difference(
    chat: Client, model: ScriptedModel, sent: Callable[[Answer], Answer]
) -> None:
    model.answers(sent(say("Set it to ", "1 ms", " [1], or ", "[99]", " 音 🎛", ".")))
    assert answer(await chat.ask(QUESTION)) == "Set it to 1 ms [1], or 音 🎛."


async def test_the_model_is_asked_with_the_key_the_sources_and_the_question(
    chat: Client, model: ScriptedModel
) -> None:
    events = await chat.ask(QUESTION)
    request = model.requests[0]
    assert request.headers["authorization"] == f"Bearer {SECRET}"
    assert request.body["model"] == "first"
    assert request.body["stream_options"] == {"include_usage": True}
    assert request.messages[-1]["content"].count("<source ") == len(events[0].data)
    assert request.messages[-1]["content"].endswith(f"Question: {QUESTION}")


async def test_thoughts_are_no_answer(chat: Client, model: ScriptedModel) -> None:
    model.answers(say(reasoning("hm"), "<think>", "let me", " see</think>\n", "Yes [1]."))
    assert answer(await chat.ask(QUESTION)) == "Yes [1]."


async def test_a_model_that_stalls_before_its_first_token_ends_in_an_error(
    chat: Client, model: ScriptedModel
) -> None:
    model.answers(say(anyio.Event(), "never"))
    events = await chat.ask(QUESTION)
    failed(events)
    assert [e.name for e in events] == ["sources", "error"]


async def test_a_model_that_falls_silent_ends_in_an_error_after_what_it_said(
    chat: Client, model: ScriptedModel
) -> None:
    model.answers(say("One", anyio.Event(), "never"))
    events = await chat.ask(QUESTION)
    failed(events)
    assert answer(events) == "One"
    with anyio.fail_after(5):
        await model.disconnected.wait()


async def test_a_model_that_dies_in_the_middle_ends_in_an_error_and_is_not_asked_again(
    chat: Client, model: ScriptedModel
) -> None:
    model.answers(say("One", " two", DIE))
    events = await chat.ask(QUESTION)
    failed(events)
    assert answer(events) == "One two"
    assert len(model.requests) == 1


async def test_a_429_is_tried_again(chat: Client, model: ScriptedModel) -> None:
    model.answers(refuse(429, headers={"Retry-After": "0"}), say("Yes [1]."))
    assert answer(await chat.ask(QUESTION)) == "Yes [1]."
    assert len(model.requests) == 2


@pytest.mark.parametrize("broken", [page(), page(status=502), refuse(401), refuse(500)])
async def test_what_the_server_said_of_its_failure_is_not_passed_on(
    chat: Client, model: ScriptedModel, broken: Answer
) -> None:
    model.answers(broken)
    events = await chat.ask(QUESTION)
    failed(events)
    assert "script" not in json.dumps(events[-1].data)
    assert "html" not in json.dumps(events[-1].data)


async def test_a_model_that_does_not_come_to_an_end_is_ended(
    chat_settings: Settings, model: ScriptedModel
) -> None:
    model.answers(say("One", anyio.Event(), "never"))
    settings = replace(chat_settings, llm_silence_timeout=9.0, llm_answer_timeout=0.1)
    async with running(settings) as service:
        events = await service.ask(QUESTION)
    failed(events)
    assert answer(events) == "One"


async def test_an_empty_answer_is_an_error(chat: Client, model: ScriptedModel) -> None:
    model.answers(say())
    failed(await chat.ask(QUESTION))


async def test_a_model_that_stops_at_its_limit_says_so(chat: Client, model: ScriptedModel) -> None:
    model.answers(say("Half an ans", finish="length"))
    assert (await chat.ask(QUESTION))[-1].data["finish_reason"] == "length"


async def test_the_fallback_model_is_asked_when_the_first_fails(
    chat_settings: Settings, model: ScriptedModel
) -> None:
    model.answers(refuse(404), say("From the second [1]."))
    async with running(replace(chat_settings, llm_fallback_model="second")) as service:
        assert answer(await service.ask(QUESTION)) == "From the second [1]."
    assert [request.body["model"] for request in model.requests] == ["first", "second"]


async def test_where_nothing_was_found_and_nothing_said_the_model_is_not_asked(
    chat: Client, model: ScriptedModel
) -> None:
    events = await chat.ask("Who won the football world cup in Montevideo?")
    assert events[-1].data["finish_reason"] == "refused"
    assert model.requests == []
