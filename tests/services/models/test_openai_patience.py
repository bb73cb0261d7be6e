"""How long the model client waits, how often it asks, and when it turns to the fallback model."""

import logging
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import anyio
import pytest

from app.errors import ModelFailed
from app.infra.http.client import HTTPClient
from app.infra.http.errors import ConnectTimeout
from app.services.models.completion import Delta
from app.services.models.failures import to_failure
from app.services.models.openai import FALLBACK_AFTER
from tests.scripted_model import Answer, ScriptedModel, Step, chunk, page, reasoning, refuse, say
from tests.services.models.test_openai import Setup

pytestmark = pytest.mark.anyio

KEEP_ALIVE = b": keep-alive\n\n"
# Time limits of a patient client without and with signs of life.
PATIENT = {"first_token_timeout": 0.2, "silence_timeout": 0.2, "thinking_timeout": 5.0}
# In pauses of an eighth of the answer's duration, which is twice the limit without signs of life.
PAUSE = 0.05
BUSY = [refuse(status) for status in (429, 503, 529)]


@pytest.fixture
async def setup() -> AsyncIterator[Setup]:
    async with ScriptedModel() as model, HTTPClient() as http:
        yield Setup(model, http)


@pytest.mark.parametrize(
    "sign",
    [
        KEEP_ALIVE,
        *(b": OPENROUTER ", b"data: {}\n\n"),
        *(chunk({"role": "assistant", "content": ""}), chunk({}), {"choices": []}),
        reasoning("Hm."),
    ],
)
async def test_signs_of_life_keep_an_answer_waiting(setup: Setup, sign: Step) -> None:
    signs = ((sign, PAUSE) * 8) + (b"\n\n",)
    assert await setup.ask(say(*signs, "Yes", *signs, "!"), **PATIENT) == "Yes!"
    assert setup.asked_models == ["small"]


async def test_white_space_before_a_json_answer_is_a_sign_of_life(setup: Setup) -> None:
    answer = refuse(200, '{"choices": [{"message": {"content": "Yes"}}]}')
    answer = replace(answer, steps=(*(b"\n", PAUSE) * 8, *answer.steps))
    assert await setup.ask(answer, **PATIENT) == "Yes"
    assert setup.asked_models == ["small"]


@pytest.mark.parametrize("begin", [(), ("Be",)])
async def test_signs_of_life_are_limited(setup: Setup, begin: Any) -> None:
    steps = [*begin, *[KEEP_ALIVE, PAUSE] * 100]
    with pytest.raises(ModelFailed, match="in time"):
        await setup.ask(say(*steps), **PATIENT | {"thinking_timeout": 0.3})
    assert (setup.asked_models, len(setup.deltas)) == (["small"], len(begin))


@pytest.mark.parametrize("begin", [(), (KEEP_ALIVE,), (reasoning("Hm."),), (chunk({}),)])
async def test_a_request_that_times_out_is_not_repeated(setup: Setup, begin: Any) -> None:
    with pytest.raises(ModelFailed, match="in time"):
        await setup.ask(say(*begin, anyio.Event()), first_token_timeout=0.05, silence_timeout=0.05)
    assert (setup.asked_models, setup.waits) == (["small"], [])


def test_only_a_timeout_after_connecting_rules_out_a_retry() -> None:
    assert to_failure(TimeoutError()).retry_after is None
    assert to_failure(ConnectTimeout()).retry_after == 0


@pytest.mark.parametrize("status", [504, 524])
async def test_a_request_that_times_out_at_a_gateway_is_not_repeated(
    setup: Setup, status: int
) -> None:
    with pytest.raises(ModelFailed, match="in time") as failed:
        await setup.ask(refuse(status))
    assert failed.value.retryable
    assert (setup.asked_models, setup.waits) == (["small"], [])
    assert await setup.ask(refuse(status), say("Yes"), fallback_model="large") == "Yes"


async def test_a_request_that_times_out_goes_to_the_fallback_model(setup: Setup) -> None:
    answers = say(anyio.Event()), say("Yes")
    assert await setup.ask(*answers, fallback_model="large", first_token_timeout=0.1) == "Yes"
    assert (setup.asked_models, setup.fallbacks) == (["small", "large"], 1)


async def test_a_silent_model_has_the_time_of_the_first_token(setup: Setup) -> None:
    answer = say(chunk({"role": "assistant"}), 0.1, "Yes")
    assert await setup.ask(answer, first_token_timeout=5.0, silence_timeout=0.01) == "Yes"


@pytest.mark.parametrize("answer", BUSY)
async def test_a_busy_server_is_asked_until_the_time_of_the_first_token_is_over(
    setup: Setup, answer: Answer
) -> None:
    with pytest.raises(ModelFailed):
        await setup.ask(answer)
    assert 50 < sum(setup.waits) < 60
    assert len(setup.asked_models) == setup.retries + 1 > 10


async def test_a_server_that_loads_its_model_answers_in_the_end(setup: Setup) -> None:
    assert await setup.ask(*[refuse(503)] * 8, say("Yes")) == "Yes"
    assert setup.retries == 8


@pytest.mark.parametrize("answer", BUSY)
async def test_a_busy_server_with_a_fallback_model_is_left_soon(
    setup: Setup, answer: Answer
) -> None:
    setup.model.answers(lambda request: say("Yes") if request.body["model"] == "large" else answer)
    assert await setup.ask(fallback_model="large") == "Yes"
    assert 2 < setup.asked_models.count("small") < 8
    assert sum(setup.waits) < FALLBACK_AFTER
    assert (setup.fallbacks, setup.asked_models.count("large")) == (1, 1)


@pytest.mark.parametrize(
    ("headers", "wait"),
    [({"Retry-After": "7"}, 7.0), ({"Retry-After": "30", "Retry-After-Ms": "7500"}, 7.5)],
)
async def test_the_wait_that_a_server_asks_for_is_honoured(
    setup: Setup, headers: Any, wait: float
) -> None:
    assert await setup.ask(refuse(429, headers=headers), say("Yes")) == "Yes"
    assert setup.waits == [wait]


async def test_a_longer_wait_than_there_is_time_is_not_begun(setup: Setup) -> None:
    answer = refuse(503, headers={"Retry-After": "61"})
    with pytest.raises(ModelFailed):
        await setup.ask(answer)
    assert (setup.asked_models, setup.waits) == (["small"], [])


async def test_a_long_wait_goes_to_the_fallback_model_at_once(
    setup: Setup, caplog: pytest.LogCaptureFixture
) -> None:
    answer = refuse(503, headers={"Retry-After": "30"})
    assert await setup.ask(answer, say("Yes"), fallback_model="large") == "Yes"
    assert (setup.asked_models, setup.waits) == (["small", "large"], [])
    (line,) = [message for message in caplog.messages if "falling back" in message]
    assert "large" in line
    assert "status 503" in line


async def test_answers_that_may_be_paid_for_are_asked_for_a_few_times(setup: Setup) -> None:
    answers = refuse(500), page(), say("Yes")
    assert await setup.ask(*answers, attempts=3, backoff=1.0) == "Yes"
    assert 0.5 <= setup.waits[0] <= 1 <= setup.waits[1] <= 2


@pytest.mark.parametrize(
    ("listens", "reason"), [(False, "connection refused"), (True, "connect timeout")]
)
async def test_an_unreachable_server_is_asked_a_few_times(
    setup: Setup, listens: bool, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        peer = server.getsockname()
        with socket.create_connection(peer) as queued:
            if not listens:
                queued.close()
                server.close()
            url = f"http://127.0.0.1:{peer[1]}/v1"
            with pytest.raises(ModelFailed, match="reached"):
                await setup.ask(base_url=url, connect_timeout=0.05, attempts=3)
    assert setup.retries == 2
    assert reason in caplog.text


@pytest.mark.parametrize("step", [KEEP_ALIVE, 0.0])
async def test_no_sign_of_life_in_the_middle_is_the_end(setup: Setup, step: Step) -> None:
    with pytest.raises(ModelFailed, match="in time"):
        await setup.ask(say("Be", step, anyio.Event()), silence_timeout=0.05)
    assert setup.deltas == [Delta("Be")]
