"""What a model refuses is left out, remembered and reported."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from app.services.models.failures import ModelAttemptFailed
from tests.scripted_model import JSON, Answer, Request, refuse, say
from tests.services.models.asking import QUESTION, RULES, Asking, error

pytestmark = pytest.mark.anyio


def refusing(refused: Callable[[JSON], bool], answer: JSON, status: int = 400) -> Any:
    """Script a model that refuses some requests."""
    return lambda request: (
        refuse(status, json.dumps(answer)) if refused(request.body) else say("Yes")
    )


def has(name: str) -> Callable[[JSON], bool]:
    return lambda body: name in body


UNKNOWN = [
    error("Unknown parameter: 'stream_options'.", param="stream_options"),
    error(param="stream_options.include_usage"),
    error("Unrecognized request argument supplied: stream_options"),
    error('Invalid JSON payload received. Unknown name "stream_options": Cannot find field.'),
    error("litellm.UnsupportedParamsError: x does not support parameters: {'stream_options': {}}"),
    {"detail": [{"type": "extra_forbidden", "loc": ["body", "stream_options"], "msg": "Extra"}]},
    {"message": {"detail": [{"loc": ["body", "stream_options"]}]}, "object": "error"},
    {"detail": "property 'stream_options' is unsupported"},
]


@pytest.mark.parametrize("answer", UNKNOWN)
@pytest.mark.parametrize("status", [400, 422])
async def test_a_refused_member_is_left_out_from_then_on(
    asking: Asking, caplog: pytest.LogCaptureFixture, answer: JSON, status: int
) -> None:
    asking.model.answers(refusing(has("stream_options"), answer, status))
    served = asking.served(temperature=0.5)
    assert [await asking.ask(served), await asking.ask(served)] == [200, 200]
    assert [len(request.body) for request in asking.model.requests] == [5, 4, 4]
    (line,) = caplog.messages
    assert line == (
        "model small at 127.0.0.1 refuses stream_options; requests do without it from now on."
        ' To avoid the refused request, add {"stream_options": null} to LLM_EXTRA_BODY'
    )


async def test_every_refused_member_is_left_out(
    asking: Asking, caplog: pytest.LogCaptureFixture
) -> None:
    def script(request: Request) -> Answer:
        for name in ("stream_options", "max_tokens", "temperature", "stream"):
            if name in request.body:
                return refuse(400, json.dumps(error("Unsupported value", param=name)))
        return say("Yes")

    asking.model.answers(script)
    await asking.ask(asking.served(max_tokens=9, temperature=0.5))
    del asking.last.body["messages"]
    assert asking.last.body == {"model": "small", "max_completion_tokens": 9}
    assert "refuses max_tokens, stream, stream_options, temperature;" in caplog.text
    assert 'add {"max_tokens": null, "max_completion_tokens": 9, "stream": null' in caplog.text


async def test_a_limit_that_is_refused_under_both_names_is_reported(
    asking: Asking, caplog: pytest.LogCaptureFixture
) -> None:
    def script(request: Request) -> Answer:
        name = next((name for name in request.body if "max" in name), None)
        return (
            refuse(400, json.dumps(error(f"Unsupported parameter: '{name}'")))
            if name
            else say("Yes")
        )

    asking.model.answers(script)
    await asking.ask(asking.served(max_tokens=9))
    assert len(asking.model.requests) == 3
    assert "LLM_MAX_TOKENS has no effect" in caplog.text


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ("Streaming is not supported for this model.", None),
        ("Unsupported value: 'stream' does not support true with this model.", "stream"),
        ("Unsupported value: 'stream' does not support true with this model.", None),
    ],
)
async def test_a_model_that_cannot_stream_is_asked_for_a_whole_answer(
    asking: Asking, message: str, param: Any
) -> None:
    asking.model.answers(refusing(has("stream"), error(message, param=param)))
    assert await asking.ask(asking.served()) == 200
    assert set(asking.last.body) == {"model", "messages"}


SYSTEM_REFUSED = [
    {"object": "error", "message": "System role not supported", "type": "BadRequestError"},
    error(
        "Unsupported value: 'messages[0].role' does not support 'system'.", param="messages[0].role"
    ),
    error(
        "Developer instruction is not enabled for models/gemma-3-27b-it", status="INVALID_ARGUMENT"
    ),
    error("Conversation roles must alternate user/assistant/user/assistant/..."),
    {"detail": [{"loc": ["body", "messages", 0, "role"], "msg": "Input should be 'user'"}]},
    {"error": "Template error: the system role isn't supported", "error_type": "template_error"},
    error('messages: Unexpected role "system".'),
]


@pytest.mark.parametrize("answer", SYSTEM_REFUSED)
@pytest.mark.parametrize("status", [400, 500])
async def test_a_refused_role_of_the_rules_becomes_the_users(
    asking: Asking, caplog: pytest.LogCaptureFixture, answer: JSON, status: int
) -> None:
    def refused(body: JSON) -> bool:
        return any(message["role"] != "user" for message in body["messages"])

    asking.model.answers(refusing(refused, answer, status))
    for role, requests in (("system", 2), ("developer", 3)):
        asking.model.requests.clear()
        served = asking.served(rules_role=role)
        await asking.ask(served)
        await asking.ask(served)
        assert len(asking.model.requests) == requests + 1
    assert "set LLM_RULES_ROLE to user" in caplog.text


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (400, error("The upstream sent an invalid response: the stream was cut.")),
        (400, error("No temperature is too high to be supported by this question.")),
        (400, error("Unknown parameter: 'model'", param="model")),
        (400, error("Unknown parameter: 'messages'", param="messages")),
        (400, error("Unknown parameter: 'max_tokens'", param="max_tokens")),
        (404, error("Unknown parameter: 'stream_options'", param="stream_options")),
        (500, error("The server had an error.")),
    ],
)
async def test_nothing_else_is_left_out(asking: Asking, status: int, answer: JSON) -> None:
    await asking.failure(refuse(status, json.dumps(answer)), temperature=0.5)
    assert len(asking.model.requests) == 1


async def test_members_that_the_operator_sets_are_never_left_out(asking: Asking) -> None:
    asking.model.answers(
        refuse(400, json.dumps(error("Unknown: 'stream_options'", param="stream_options")))
    )
    failure = await asking.failure(say(), extra_body={"stream_options": {"x": 1}})
    assert "param stream_options" in str(failure)


async def test_a_form_is_only_remembered_if_it_was_accepted(asking: Asking) -> None:
    unknown = refuse(400, json.dumps(error("Unknown: 'stream_options'", param="stream_options")))
    asking.model.answers(unknown, refuse(503), say("Yes"))
    served = asking.served()
    with pytest.raises(ModelAttemptFailed, match="503"):
        await asking.ask(served)
    await asking.ask(served)
    assert "stream_options" in asking.last.body


async def test_a_limit_over_the_models_own_is_left_out(asking: Asking) -> None:
    message = "max_tokens is too large: 9. This model supports at most 8 completion tokens."
    asking.model.answers(refusing(has("max_tokens"), error(message, param="max_tokens")))
    assert await asking.ask(asking.served(max_tokens=9)) == 200


async def test_the_limit_of_short_answers_is_not_advised_for_all(
    asking: Asking, caplog: pytest.LogCaptureFixture
) -> None:
    asking.model.answers(refusing(has("max_tokens"), error("No.", param="max_tokens")))
    served = asking.served(short_max_tokens=256)
    until = asyncio.get_running_loop().time() + 5
    (await served.ask((RULES, QUESTION), until, short=True)).close()
    await asking.ask(served)
    bodies = [request.body for request in asking.model.requests]
    limits = [body.get("max_completion_tokens") for body in bodies]
    assert limits == [None, 256, None]
    assert caplog.messages == [
        "model small at 127.0.0.1 refuses max_tokens; requests do without it from now on"
    ]
