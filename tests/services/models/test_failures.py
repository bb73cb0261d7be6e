"""Why a request fails, in words for the user and for the log."""

import json
import logging
from typing import Any

import pytest

from tests.scripted_model import JSON, Answer, page, refuse
from tests.services.models.asking import Asking, error

pytestmark = pytest.mark.anyio


FOR_OPERATOR = (
    "The language model cannot be used. Tell whoever runs this service; its log says why."
)
REJECTED = (
    "The language model rejected this question. If it happens again, tell whoever runs this"
    " service."
)
BUSY = "The language model is overloaded. Ask again in a minute."
FAILED = "The language model did not answer. Ask again in a minute."
INVALID = "The language model sent an invalid response."


def failing(status: int, answer: Any = None, **headers: str) -> Answer:
    return refuse(status, json.dumps(answer) if answer else "", headers)


@pytest.mark.parametrize(
    ("answer", "reason", "detail"),
    [
        (failing(401), "status 401; check LLM_API_KEY", FOR_OPERATOR),
        (
            failing(403, error(code="no_access")),
            "status 403, code no_access; check LLM_API_KEY",
            FOR_OPERATOR,
        ),
        (page(status=403), "status 403, a web page; check LLM_API_KEY", FOR_OPERATOR),
        (
            failing(404, error("The model `m` does not exist")),
            "status 404; check the name of the model",
            FOR_OPERATOR,
        ),
        (
            failing(404, {"detail": "Not Found"}),
            "status 404; check the path of LLM_BASE_URL",
            FOR_OPERATOR,
        ),
        (page(status=404), "status 404, a web page; check the path of LLM_BASE_URL", FOR_OPERATOR),
        (failing(405), "status 405; check the path of LLM_BASE_URL", FOR_OPERATOR),
        (
            failing(302),
            "status 302; it redirects to another address; set LLM_BASE_URL",
            FOR_OPERATOR,
        ),
        (
            failing(307, Location="http://other/v1"),
            "status 307; it redirects to another",
            FOR_OPERATOR,
        ),
        (failing(402), "status 402; the account has no credit", FOR_OPERATOR),
        (failing(429, error(code="insufficient_quota")), "no credit", FOR_OPERATOR),
        (failing(400, error("Your credit balance is too low")), "no credit", FOR_OPERATOR),
        (failing(400, error(code="bad", param="n")), "status 400, code bad, param n", REJECTED),
        (failing(418), "status 418", REJECTED),
    ],
)
async def test_a_permanent_failure_is_for_the_operator(
    asking: Asking, answer: Answer, reason: str, detail: str
) -> None:
    failure = await asking.failure(answer)
    assert reason in str(failure)
    assert (failure.error.detail, failure.error.retryable) == (detail, False)
    assert failure.retry_after is None


@pytest.mark.parametrize(
    ("answer", "reason", "detail"),
    [
        (
            failing(429, error("You exceeded your quota", status="RESOURCE_EXHAUSTED")),
            "429, code RES",
            BUSY,
        ),
        (failing(503), "status 503", BUSY),
        (
            failing(529, {"type": "error", "error": {"type": "overloaded_error"}}),
            "529, type over",
            BUSY,
        ),
        (failing(500), "status 500", FAILED),
        (refuse(520, "error code: 520", {"Content-Type": "text/plain"}), "520, text/plain", FAILED),
        (failing(202, {"status": "loading"}), "status 202", INVALID),
        (page(status=202), "status 202, a web page", INVALID),
    ],
)
async def test_a_temporary_failure_is_retried(
    asking: Asking, answer: Answer, reason: str, detail: str
) -> None:
    failure = await asking.failure(answer)
    assert reason in str(failure)
    assert (failure.error.detail, failure.error.retryable) == (detail, True)
    assert failure.retry_after == 0


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (400, error("The prompt was filtered", param="prompt", code="content_filter")),
        (400, error("x", innererror={"code": "ResponsibleAIPolicyViolation"})),
        (400, error("AzureException - it triggered Azure OpenAI's content management policy")),
        (400, error("x", code="data_inspection_failed")),
        (403, error("Your input was flagged", metadata={"flagged_input": "the sky"})),
    ],
)
async def test_a_filtered_prompt_is_recognized(asking: Asking, status: int, answer: JSON) -> None:
    failure = await asking.failure(failing(status, answer))
    assert (failure.kind, failure.retry_after) == ("filtered", None)


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (400, error("x", code="context_length_exceeded", param="messages")),
        (
            400,
            error(
                "the request exceeds the available context size", type="exceed_context_size_error"
            ),
        ),
        (400, error("This model's maximum context length is 4096 tokens. You requested 5000.")),
        (
            400,
            error("'max_tokens' is too large: 5000. This model's maximum context length is 4096."),
        ),
        (400, error("prompt is too long: 210000 tokens > 200000 maximum")),
        (400, error("The input token count (9) exceeds the maximum number of tokens allowed (8)")),
        (400, error("Input is too long for requested model.")),
        (
            413,
            error("Request too large for model on tokens per minute", code="rate_limit_exceeded"),
        ),
        (422, {"error": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 9"}),
        (500, error("the input (9 tokens) is larger than the context size (8 tokens)")),
    ],
)
async def test_a_prompt_that_is_too_long_is_recognized(
    asking: Asking, status: int, answer: JSON
) -> None:
    failure = await asking.failure(failing(status, answer), max_tokens=9)
    assert (failure.kind, failure.retry_after) == ("too long", None)
    assert len(asking.model.requests) == 1


async def test_nothing_that_the_server_wrote_is_shown(
    asking: Asking, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    answer = error("the sky is blue", code="the sky", param="the sky", type="a" * 65)
    failure = await asking.failure(refuse(400, json.dumps(answer), {"Content-Type": "the sky"}))
    assert not any(word in str(failure) + caplog.text for word in ("sky", "blue", "aaa"))
