"""The model's client against a scripted server: what it asks, yields, repeats and gives up."""

import logging
import socket
from collections.abc import AsyncIterator
from email.utils import formatdate
from functools import partial
from time import time
from typing import Any

import anyio
import pytest

from app.errors import ModelFailed
from app.infra.http.client import HTTPClient
from app.schemas import Usage
from app.services.models.completion import Delta, joined
from app.services.models.openai import ModelConfig, OpenAIModel
from app.services.models.prompt import Message, Prompt
from tests import scripted_model as scripted
from tests.scripted_model import DIE, Answer, ScriptedModel, page, reasoning, refuse, say, whole

pytestmark = pytest.mark.anyio

PROMPT = Prompt((Message("system", "Be brief."), Message("user", "Why is the sky blue?")))
ERROR = {"error": {"message": "upstream words"}}


class Bench:
    """A scripted model, and a client that notes how long it would have slept between its tries."""

    def __init__(self, model: ScriptedModel, http: HTTPClient) -> None:
        self.model = model
        self.http = http
        self.naps: list[float] = []
        self.deltas: list[Delta] = []
        self.begun = anyio.Event()

    def client(self, **changes: Any) -> OpenAIModel:
        usual: dict[str, Any] = {"base_url": self.model.base_url, "model": "small", "attempts": 2}
        return OpenAIModel(self.http, ModelConfig(**usual | changes), self._nap)

    async def _nap(self, seconds: float) -> None:
        self.naps.append(seconds)

    async def ask(self, *answers: Answer, **changes: Any) -> str:
        self.model.answers(*answers)
        with anyio.fail_after(5):
            await self.client(**changes).stream(PROMPT, self._take)
        return "".join(delta.text for delta in self.deltas)

    def _take(self, delta: Delta) -> None:
        self.deltas.append(delta)
        self.begun.set()

    @property
    def asked(self) -> list[str]:
        return [request.body["model"] for request in self.model.requests]


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with ScriptedModel() as model, HTTPClient() as http:
        yield Bench(model, http)


async def test_the_request_is_what_every_such_server_takes(bench: Bench) -> None:
    await bench.ask(api_key="sk-1", max_tokens=9, temperature=0.5)
    (request,) = bench.model.requests
    messages = [{"role": m.role, "content": m.content} for m in PROMPT.messages]
    what = {"model": "small", "messages": messages, "max_tokens": 9, "temperature": 0.5}
    assert request.body == what | {"stream": True, "stream_options": {"include_usage": True}}
    assert request.headers["authorization"] == "Bearer sk-1"


@pytest.mark.parametrize("end", ["", "/", "/chat/completions", "/chat/completions/"])
async def test_the_address_may_end_in_any_way_and_needs_no_key(bench: Bench, end: str) -> None:
    await bench.ask(base_url=bench.model.base_url + end)
    assert bench.model.requests[0].path == "/v1/chat/completions"
    assert "authorization" not in bench.model.requests[0].headers


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
async def test_any_way_to_send_an_answer_is_taken(bench: Bench, answer: Any, deltas: Any) -> None:
    await bench.ask(answer)
    # How many there are depends on what arrived together.
    assert joined(bench.deltas) == joined(deltas)


async def test_what_arrived_together_goes_on_together(bench: Bench) -> None:
    await bench.ask(scripted.in_one_write(LONG))
    assert bench.deltas == [joined(PIECES)]


async def test_what_came_together_with_a_fault_is_not_lost(bench: Bench) -> None:
    with pytest.raises(ModelFailed):
        await bench.ask(scripted.in_one_write(say("Be", "gin", ERROR)))
    assert (bench.deltas, bench.asked) == ([Delta("Begin")], ["small"])


async def test_a_fault_in_taking_a_piece_is_told_and_stops_the_model(bench: Bench) -> None:
    def take(delta: Delta) -> None:
        raise LookupError("a fault of ours")

    bench.model.answers(say("Be", anyio.Event()))
    with anyio.fail_after(5):
        with pytest.raises(LookupError, match="ours"):
            await bench.client().stream(PROMPT, take)
        await bench.model.disconnected.wait()
    assert len(bench.asked) == 1


BAD_STARTS = [
    *(refuse(status) for status in (200, 408, 429, 500, 503, 529)),
    *(page(), say(ERROR), say(DIE), say(reasoning("Hm."), DIE), Answer(())),
    *(refuse(200, "[" * 100_000), whole("x" * 2_000_000)),
    refuse(200, "no gzip", {"Content-Type": "text/event-stream", "Content-Encoding": "gzip"}),
]
AWAY = [refuse(429, headers={"Retry-After": t}) for t in ("6", formatdate(time() + 9e5))]
MOVED = refuse(307, headers={"Location": "/v1/elsewhere"})


@pytest.mark.parametrize(
    ("answer", "asked"),
    [
        *((bad, ["small", "small", "large", "large"]) for bad in BAD_STARTS),
        *((bad, ["small", "large"]) for bad in (*map(refuse, (400, 404, 413, 422)), *AWAY)),
        *((bad, ["small"]) for bad in (refuse(401), refuse(403), MOVED)),
    ],
)
async def test_a_try_is_repeated_where_that_may_help(bench: Bench, answer: Any, asked: Any) -> None:
    with pytest.raises(ModelFailed):
        await bench.ask(answer, fallback_model="large")
    assert (bench.asked, len(bench.naps)) == (asked, len(asked) - len(set(asked)))


async def test_a_further_try_waits_longer_each_time(bench: Bench) -> None:
    assert await bench.ask(refuse(500), page(), say("Yes"), attempts=3, backoff=1.0) == "Yes"
    assert 0.5 <= bench.naps[0] <= 1 <= bench.naps[1] <= 2


async def test_all_tries_at_a_model_share_a_budget_of_time(bench: Bench) -> None:
    with pytest.raises(ModelFailed):
        await bench.ask(refuse(500), first_token_timeout=1.0, backoff=5.0)
    assert (bench.asked, bench.naps) == (["small"], [])


@pytest.mark.parametrize(
    ("told", "slept"),
    [("3", 3), ("0.5", 0.5), ("a date", 4), ("-1", 0), ("nan", 0), ("soon", 0), ("1 Foo 1", 0)],
)
async def testretry_after_is_obeyed(bench: Bench, told: str, slept: float) -> None:
    told = formatdate(time() + 4, usegmt=True) if told == "a date" else told
    await bench.ask(refuse(429, headers={"Retry-After": told}), say("Yes"), backoff=0)
    assert slept / 2 <= bench.naps[0] <= slept


@pytest.mark.parametrize("steps", [(), (b": ping\n\n",)])
async def test_a_model_that_gives_no_sign_of_life_is_given_up(bench: Bench, steps: Any) -> None:
    with pytest.raises(ModelFailed, match="in time"):
        await bench.ask(say(*steps, anyio.Event()), first_token_timeout=0.05, attempts=1)


async def test_a_model_that_thinks_is_alive(bench: Bench) -> None:
    thought = anyio.Event()
    bench.model.answers(say(reasoning("Hm."), thought, "Yes"))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(partial(bench.ask, first_token_timeout=0.05))
        with anyio.move_on_after(0.1):
            await bench.model.disconnected.wait()
        thought.set()
    assert (bench.deltas[0].text, len(bench.asked)) == ("Yes", 1)


async def test_a_server_that_cannot_be_reached_is_given_up(bench: Bench) -> None:
    with socket.socket() as closed, socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        closed.bind(("127.0.0.1", 0))
        with socket.create_connection(full.getsockname()):
            for peer, told in ((closed, "reached"), (full, "in time")):
                url = f"http://127.0.0.1:{peer.getsockname()[1]}/v1"
                with pytest.raises(ModelFailed, match=told):
                    await bench.ask(base_url=url, connect_timeout=0.05)


@pytest.mark.parametrize(
    "trouble",
    [
        *((), (DIE,), (ERROR,), (b"data: {]\n\n",)),
        *((b"x" * 2_000_000,), (anyio.Event(),), (b": ping\n\n", anyio.Event())),
    ],
)
async def test_after_the_first_piece_nothing_is_repeated(bench: Bench, trouble: Any) -> None:
    answer = say("Be", bench.begun, *trouble, finish=None, done=False)
    with pytest.raises(ModelFailed):
        await bench.ask(answer, silence_timeout=0.05)
    assert (bench.deltas, bench.asked) == ([Delta("Be")], ["small"])


@pytest.mark.parametrize("step", [anyio.Event(), DIE])
async def test_a_whole_answer_is_not_spoilt_by_what_follows(bench: Bench, step: Any) -> None:
    assert await bench.ask(Answer((*say("Yes", done=False).steps, step))) == "Yes"


async def test_a_whole_answer_leaves_its_connection_to_the_next(bench: Bench) -> None:
    await bench.ask()
    await bench.ask()
    assert bench.model.connections == 1


@pytest.mark.parametrize("pieces", [[], ["Be"]])
async def test_a_cancelled_answer_stops_the_model(bench: Bench, pieces: list[str]) -> None:
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(bench.ask, say(*pieces, anyio.Event()))
            await (bench.begun.wait() if pieces else bench.model.asked())
            tasks.cancel_scope.cancel()
        await bench.model.disconnected.wait()


async def test_a_short_answer_is_whole_in_one_try_or_fails(bench: Bench) -> None:
    bench.model.answers(say("Yes", "!"), refuse(500), say("Yes", anyio.Event()))
    bench.model.answers(say(reasoning("Hm."), anyio.Event()))
    assert await bench.client().complete(PROMPT, 5) == "Yes!"
    for _ in range(3):
        with anyio.fail_after(5), pytest.raises(ModelFailed):
            await bench.client().complete(PROMPT, 0.1)
    assert len(bench.asked) == 4


async def test_no_secret_is_told(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    told = repr(ModelConfig(base_url="http://me:pass@host", model="m", api_key="sk-1"))
    for answer in (refuse(401, "upstream"), say(ERROR), say("Because", bench.begun, ERROR)):
        with pytest.raises(ModelFailed) as failed:
            await bench.ask(answer, api_key="sk-1", attempts=1)
        told += failed.value.detail
    with pytest.raises(ModelFailed):
        await bench.ask(base_url="http://me:pass@127.0.0.1:1", attempts=1)
    assert "status 401" in caplog.text
    secrets = ("sk-1", "sky", "upstream", "Because", "pass", "127.0.0.1")
    assert not any(secret in told + caplog.text for secret in secrets)
