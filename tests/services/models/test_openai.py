"""The model client against a scripted server: requests, answers, retries and failures."""

import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from app.errors import ModelFailed
from app.infra.http.client import HTTPClient
from app.schemas import Usage
from app.services.models.completion import Delta, join_deltas
from app.services.models.openai import OpenAIModel
from app.services.models.prompt import Message, Prompt, PromptTooLong
from app.services.models.request import ModelConfig, ServerConfig
from tests import scripted_model as scripted
from tests.scripted_model import DIE, Answer, ScriptedModel, page, reasoning, refuse, say, whole

pytestmark = pytest.mark.anyio

PROMPT = Prompt((Message("system", "Be brief."), Message("user", "Why is the sky blue?")))
ERROR = {"error": {"message": "upstream words"}}


class Setup:
    """A scripted model, and a client whose waits between attempts are recorded, not slept."""

    def __init__(self, model: ScriptedModel, http: HTTPClient) -> None:
        self.model = model
        self.http = http
        self.waits: list[float] = []
        self.retries = 0
        self.fallbacks = 0
        self.deltas: list[Delta] = []
        self.started = anyio.Event()

    def client(self, **changes: Any) -> OpenAIModel:
        defaults: dict[str, Any] = {"base_url": self.model.base_url, "model": "small"}
        return OpenAIModel(
            self.http,
            ModelConfig(**defaults | {"attempts": 2} | changes),
            on_retry=self._retried,
            on_fallback=self._fell_back,
            sleep=self._sleep,
        )

    async def _sleep(self, seconds: float) -> None:
        self.waits.append(seconds)

    def _retried(self) -> None:
        self.retries += 1

    def _fell_back(self) -> None:
        self.fallbacks += 1

    async def ask(self, *answers: Answer, **changes: Any) -> str:
        self.model.answers(*answers)
        with anyio.fail_after(5):
            await self.client(**changes).stream(PROMPT, self._take)
        return "".join(delta.text for delta in self.deltas)

    def _take(self, delta: Delta) -> None:
        self.deltas.append(delta)
        self.started.set()

    @property
    def asked_models(self) -> list[str]:
        return [request.body["model"] for request in self.model.requests]


@pytest.fixture
async def setup() -> AsyncIterator[Setup]:
    async with ScriptedModel() as model, HTTPClient() as http:
        yield Setup(model, http)


async def test_the_request_uses_only_common_parameters(setup: Setup) -> None:
    await setup.ask(api_key="sk-1", max_tokens=9, temperature=0.5)
    (request,) = setup.model.requests
    messages = [{"role": m.role, "content": m.content} for m in PROMPT.messages]
    parameters = {"model": "small", "messages": messages, "max_tokens": 9, "temperature": 0.5}
    assert request.body == parameters | {"stream": True, "stream_options": {"include_usage": True}}
    assert request.headers["authorization"] == "Bearer sk-1"


@pytest.mark.parametrize("end", ["", "/", "/chat/completions", "/chat/completions/"])
async def test_the_url_may_include_the_path_and_the_key_is_optional(setup: Setup, end: str) -> None:
    await setup.ask(base_url=setup.model.base_url + end)
    assert setup.model.requests[0].path == "/v1/chat/completions"
    assert "authorization" not in setup.model.requests[0].headers


LONG = say(reasoning("Hm."), b": ping\n\nevent: x\n", "naïve ", "😀", usage=(7, 2))
PIECES = [Delta("naïve "), Delta("😀"), Delta(finish="stop"), Delta(usage=Usage(7, 2))]


@pytest.mark.parametrize(
    ("answer", "deltas"),
    [
        (LONG, PIECES),
        *((way(LONG), PIECES) for way in (scripted.byte_by_byte, scripted.zipped)),
        (Answer(LONG.steps, framing="close"), PIECES),
        (say("naïve ", "😀", usage=(7, 2), done=False), PIECES),
        (whole("naïve", "length", (7, 2)), [Delta("naïve", "length", Usage(7, 2))]),
    ],
)
async def test_every_form_of_answer_is_decoded(setup: Setup, answer: Any, deltas: Any) -> None:
    await setup.ask(answer)
    # Their number depends on what arrived together.
    assert join_deltas(setup.deltas) == join_deltas(deltas)


async def test_pieces_that_arrive_together_are_passed_on_together(setup: Setup) -> None:
    await setup.ask(scripted.in_one_write(LONG))
    assert setup.deltas == [join_deltas(PIECES)]


async def test_pieces_that_arrive_with_an_error_are_not_lost(setup: Setup) -> None:
    with pytest.raises(ModelFailed):
        await setup.ask(scripted.in_one_write(say("Be", "gin", ERROR)))
    assert (setup.deltas, setup.asked_models) == ([Delta("Begin")], ["small"])


async def test_an_exception_of_the_receiver_is_raised_and_stops_the_model(setup: Setup) -> None:
    def take(delta: Delta) -> None:
        raise LookupError("a bug of ours")

    setup.model.answers(say("Be", anyio.Event()))
    with anyio.fail_after(5):
        with pytest.raises(LookupError, match="ours"):
            await setup.client().stream(PROMPT, take)
        await setup.model.disconnected.wait()
    assert len(setup.asked_models) == 1


BAD_STARTS = [
    *(refuse(status) for status in (200, 408, 409, 425, 500)),
    *(page(), say(ERROR), say(DIE), say(reasoning("Hm."), DIE), Answer(())),
    *(refuse(200, "[" * 100_000), whole("x" * 5_000_000)),
    refuse(200, "no gzip", {"Content-Type": "text/event-stream", "Content-Encoding": "gzip"}),
]
MOVED = refuse(307, headers={"Location": "http://elsewhere/v1"})


@pytest.mark.parametrize(
    ("answer", "asked"),
    [
        *((bad, ["small", "small", "large", "large"]) for bad in BAD_STARTS),
        *((bad, ["small", "large"]) for bad in map(refuse, (400, 404, 413, 422))),
        *((bad, ["small"]) for bad in (refuse(401), refuse(403), MOVED)),
    ],
)
async def test_only_temporary_failures_are_retried(setup: Setup, answer: Any, asked: Any) -> None:
    with pytest.raises(ModelFailed):
        await setup.ask(answer, fallback_model="large")
    assert setup.asked_models == asked
    assert setup.retries == len(setup.waits) == len(asked) - len(set(asked))
    assert setup.fallbacks == len(set(asked)) - 1


@pytest.mark.parametrize("ending", ["", "/chat/completions/"])
async def test_the_query_of_the_base_url_is_kept(setup: Setup, ending: str) -> None:
    await setup.ask(base_url=f"{setup.model.base_url}{ending}?api-version=1#part")
    assert setup.model.requests[0].path == "/v1/chat/completions?api-version=1"


@pytest.mark.parametrize("refused", [refuse(401), refuse(500), MOVED])
@pytest.mark.parametrize("model", ["large", ""])
async def test_the_fallback_may_be_on_another_server(
    setup: Setup, refused: Answer, model: str
) -> None:
    async with ScriptedModel() as other:
        other.answers(say("Yes"))
        server = ServerConfig(base_url=other.base_url, headers={"api-key": "k2"})
        changes = {"api_key": "k1", "headers": {"X-A": "1"}, "extra_body": {"top_k": 1}}
        text = await setup.ask(refused, fallback_server=server, fallback_model=model, **changes)
    assert (text, setup.fallbacks) == ("Yes", 1)
    (request,) = other.requests
    assert request.body["model"] == (model or "small")
    assert request.headers["api-key"] == "k2"
    assert not {"authorization", "x-a"} & request.headers.keys()
    assert "top_k" not in request.body


async def test_another_key_for_the_same_server_is_tried_after_a_refused_one(setup: Setup) -> None:
    server = ServerConfig(base_url=setup.model.base_url, api_key="k2")
    assert await setup.ask(refuse(401), say("Yes"), api_key="k1", fallback_server=server) == "Yes"


FILTERED = {"error": {"code": "content_filter", "message": "No."}}
TOO_LONG = {"error": {"code": "context_length_exceeded"}}


@pytest.mark.parametrize("answer", [refuse(400, json.dumps(FILTERED)), say(FILTERED)])
async def test_a_filtered_prompt_is_a_refusal(setup: Setup, answer: Answer) -> None:
    await setup.ask(answer, fallback_model="large")
    assert (setup.deltas, setup.asked_models) == ([Delta(finish="refused")], ["small"])


@pytest.mark.parametrize("answer", [refuse(400, json.dumps(TOO_LONG)), say(TOO_LONG)])
async def test_a_prompt_that_is_too_long_is_reported_if_no_model_answers(
    setup: Setup, answer: Answer
) -> None:
    assert await setup.ask(answer, say("Yes"), fallback_model="large") == "Yes"
    with pytest.raises(PromptTooLong) as failed:
        await setup.ask(answer, refuse(400), fallback_model="large")
    assert (failed.value.prompt, failed.value.retryable) == (PROMPT, False)


async def test_a_refused_parameter_is_not_a_retry(setup: Setup) -> None:
    refused = refuse(400, '{"error": {"param": "stream_options"}}')
    assert await setup.ask(refused, say("Yes"), attempts=1) == "Yes"
    assert (setup.retries, setup.waits) == (0, [])


@pytest.mark.parametrize(
    "steps",
    [
        *((), (DIE,), (ERROR,), (b"data: {]\n\n",)),
        *((b"x" * 5_000_000,), (anyio.Event(),), (b": ping\n\n", anyio.Event())),
    ],
)
async def test_nothing_is_retried_after_the_first_piece(setup: Setup, steps: Any) -> None:
    answer = say("Be", setup.started, *steps, finish=None, done=False)
    with pytest.raises(ModelFailed):
        await setup.ask(answer, silence_timeout=0.05)
    assert (setup.deltas, setup.asked_models) == ([Delta("Be")], ["small"])


@pytest.mark.parametrize("step", [anyio.Event(), DIE])
async def test_an_error_after_a_complete_answer_is_ignored(setup: Setup, step: Any) -> None:
    complete = say("Yes", usage=(1, 1), done=False)
    assert await setup.ask(Answer((*complete.steps, step))) == "Yes"


async def test_a_complete_answer_leaves_its_connection_to_the_next(setup: Setup) -> None:
    await setup.ask()
    await setup.ask()
    assert setup.model.connections == 1


@pytest.mark.parametrize(
    "nothing", [say(), say(finish=None), say(reasoning("Hm.")), say("<think>", "Hm.", "</think>")]
)
async def test_an_answer_without_text_is_tried_again(setup: Setup, nothing: Answer) -> None:
    assert await setup.ask(nothing, say("Yes")) == "Yes"
    assert setup.asked_models == ["small", "small"]


async def test_tokens_spent_on_thoughts_only_are_not_paid_twice(
    setup: Setup, caplog: pytest.LogCaptureFixture
) -> None:
    spent = say(reasoning("Hm."), finish="length")
    assert await setup.ask(spent, say("Yes"), fallback_model="large") == "Yes"
    assert setup.asked_models == ["small", "large"]
    assert "raise LLM_MAX_TOKENS" in caplog.text


async def test_the_code_of_an_error_is_logged(
    setup: Setup, caplog: pytest.LogCaptureFixture
) -> None:
    error = {"error": {"message": "upstream words", "code": "slow_down", "param": "model"}}
    assert await setup.ask(say(error), say("Yes")) == "Yes"
    assert "reported an error (code slow_down, param model)" in caplog.text
    assert "upstream" not in caplog.text


async def test_thoughts_without_an_opening_mark_are_held_back_from_then_on(setup: Setup) -> None:
    setup.model.answers(say("Hm.", "</think>", "Yes"))
    client = setup.client()
    with pytest.raises(ModelFailed):
        await client.stream(PROMPT, setup.deltas.append)
    assert setup.deltas == [Delta("Hm.")]
    setup.deltas.clear()
    await client.stream(PROMPT, setup.deltas.append)
    assert join_deltas(setup.deltas) == Delta("Yes", "stop")


async def test_text_is_held_back_only_until_an_answer_has_no_such_thoughts(setup: Setup) -> None:
    closing, plain = say("Write ", "</think>", " here"), say("No", " thoughts")
    setup.model.answers(closing, plain, plain)
    client = setup.client()
    with pytest.raises(ModelFailed):
        await client.stream(PROMPT, setup.deltas.append)
    for pieces in (1, 3):
        setup.deltas.clear()
        await client.stream(PROMPT, setup.deltas.append)
        assert len(setup.deltas) <= pieces
        assert join_deltas(setup.deltas) == Delta("No thoughts", "stop")
    assert len(setup.deltas) > 1


async def test_a_short_answer_has_no_thoughts(setup: Setup) -> None:
    for answer in (say("Hm.", "</think>", "Yes"), whole("Hm.</think>Yes"), say("((a))", "Yes")):
        setup.model.answers(answer)
        assert await setup.client(thought_marks="((…))").complete(PROMPT, 5) == "Yes"


@pytest.mark.parametrize("pieces", [[], ["Be"]])
async def test_cancelling_an_answer_stops_the_model(setup: Setup, pieces: list[str]) -> None:
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(setup.ask, say(*pieces, anyio.Event()))
            await (setup.started.wait() if pieces else setup.model.asked())
            tasks.cancel_scope.cancel()
        await setup.model.disconnected.wait()


async def test_a_short_answer_completes_in_one_attempt(setup: Setup) -> None:
    assert await setup.client().complete(PROMPT, 5) == "Hello world"
    setup.model.answers(refuse(500), say("No", finish="content_filter"))
    for _ in range(2):
        with pytest.raises(ModelFailed):
            await setup.client().complete(PROMPT, 5)
    assert len(setup.asked_models) == 3


@pytest.mark.parametrize(
    "answer",
    [
        say(anyio.Event()),
        say("Yes", anyio.Event()),
        say(reasoning("Hm."), anyio.Event()),
        say("How thick must", finish="length"),
        say(reasoning("Hm."), finish="length"),
    ],
)
async def test_a_short_answer_must_be_whole_and_in_time(setup: Setup, answer: Answer) -> None:
    setup.model.answers(answer)
    with anyio.fail_after(5):
        assert await setup.client().complete(PROMPT, 0.1) is None


async def test_short_answers_may_come_from_another_model_with_a_limit_of_their_own(
    setup: Setup,
) -> None:
    changes = {"max_tokens": 900, "temperature": 0.7, "short_max_tokens": 64}
    for name in ("", "tiny"):
        await setup.client(**changes, short_model=name).complete(PROMPT, 5)
    bodies = [request.body for request in setup.model.requests]
    assert [(body["model"], body["max_tokens"]) for body in bodies] == [("small", 64), ("tiny", 64)]
    assert {body["temperature"] for body in bodies} == {0.0}


async def test_a_web_page_is_not_told_as_a_broken_off_answer(setup: Setup) -> None:
    with pytest.raises(ModelFailed, match="sent an invalid response"):
        await setup.ask(page(), attempts=1)


async def test_no_secret_is_logged_or_shown(setup: Setup, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    shown = repr(ModelConfig(base_url="http://me:pass@host", model="m", api_key="sk-1"))
    for answer in (refuse(401, "upstream"), say(ERROR), say("Because", setup.started, ERROR)):
        with pytest.raises(ModelFailed) as failed:
            await setup.ask(answer, api_key="sk-1", attempts=1)
        shown += failed.value.detail
    with pytest.raises(ModelFailed):
        await setup.ask(base_url="http://me:pass@127.0.0.1:1", attempts=1)
    assert "status 401" in caplog.text
    secrets = ("sk-1", "sky", "upstream", "Because", "pass")
    assert not any(secret in shown + caplog.text for secret in secrets)
