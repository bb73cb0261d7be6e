"""The model's client against a scripted server: what it asks, yields, repeats and gives up."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from email.utils import formatdate
from time import time
from typing import Any

import aiohttp
import anyio
import pytest

from app.errors import ModelFailed
from app.schemas import Usage
from app.services.llm import Delta, ModelConfig, OpenAIModel
from app.services.prompt import Message, Prompt
from tests import scripted_model as scripted
from tests.scripted_model import DIE, Answer, ScriptedModel, Step, page, refuse, say

pytestmark = pytest.mark.anyio

PROMPT = Prompt((Message("system", "Be brief."), Message("user", "Why is the sky blue?")))
ERROR = {"error": {"message": "upstream-words"}}


class Bench:
    """A scripted model, and a client that notes how long it would have slept between its tries."""

    def __init__(self, model: ScriptedModel, session: aiohttp.ClientSession) -> None:
        self.model = model
        self.session = session
        self.naps: list[float] = []
        self.text = ""

    def client(self, **changes: Any) -> OpenAIModel:
        settings = {"base_url": self.model.base_url, "model": "small", "attempts": 2} | changes
        return OpenAIModel(self.session, ModelConfig(**settings), self._nap)

    async def _nap(self, seconds: float) -> None:
        self.naps.append(seconds)

    async def ask(self, *answers: Answer, **changes: Any) -> list[Delta]:
        self.model.answers(*answers)
        with anyio.fail_after(5):
            deltas = [delta async for delta in self.client(**changes).stream(PROMPT)]
        self.text = "".join(delta.text for delta in deltas)
        return deltas

    @property
    def asked(self) -> list[str]:
        """The models that were asked."""
        return [request.body["model"] for request in self.model.requests]


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with ScriptedModel() as model, aiohttp.ClientSession() as session:
        yield Bench(model, session)


async def test_the_request_is_what_every_such_server_takes(bench: Bench) -> None:
    await bench.ask(api_key="sk-1", max_tokens=9, temperature=0.5)

    (request,) = bench.model.requests
    assert request.headers["authorization"] == "Bearer sk-1"
    assert request.body == {
        "model": "small",
        "max_tokens": 9,
        "temperature": 0.5,
        "stream": True,
        "stream_options": {"include_usage": True},
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Why is the sky blue?"},
        ],
    }


@pytest.mark.parametrize("end", ["", "/", "/chat/completions", "/chat/completions/"])
async def test_the_address_may_end_in_any_way_and_needs_no_key(bench: Bench, end: str) -> None:
    await bench.ask(base_url=bench.model.base_url + end)

    assert bench.model.requests[0].path == "/v1/chat/completions"
    assert "authorization" not in bench.model.requests[0].headers


LONG = say(scripted.reasoning("Hm."), b": ping\n\nevent: x\n", "naïve ", "😀", usage=(7, 2))


@pytest.mark.parametrize(
    "answer",
    [
        *(LONG, scripted.byte_by_byte(LONG), scripted.in_one_write(LONG), scripted.zipped(LONG)),
        *(Answer(LONG.steps, framing="close"), say("naïve ", "😀", usage=(7, 2), done=False)),
    ],
)
async def test_an_answer_is_the_same_however_it_is_sent(bench: Bench, answer: Answer) -> None:
    pieces = [Delta("naïve "), Delta("😀"), Delta(finish="stop"), Delta(usage=Usage(7, 2))]

    assert await bench.ask(answer) == pieces


async def test_an_answer_that_is_not_streamed_is_taken_whole(bench: Bench) -> None:
    assert await bench.ask(scripted.whole("Because.", "length", (3, 2))) == [
        Delta("Because.", "length", Usage(3, 2))
    ]


async def test_what_arrived_together_is_yielded_without_waiting(bench: Bench) -> None:
    bench.model.answers(scripted.in_one_write(say("a", "b", "c")))
    async with aclosing(bench.client().stream(PROMPT)) as deltas:
        assert (await anext(deltas)).text == "a"
        for text in ("b", "c", ""):
            with pytest.raises(StopIteration) as yielded:
                deltas.__anext__().send(None)
            assert yielded.value.value.text == text


SSE = {"Content-Type": "text/event-stream"}
BAD_STARTS = {
    **{f"status {status}": refuse(status) for status in (408, 429, 500, 503, 529)},
    "a web page": page(),
    "an error object": say(ERROR),
    "an error object, not streamed": refuse(200),
    "no JSON": refuse(200, "[" * 100_000),
    "endless JSON": refuse(200, " " * 2_000_000),
    "death": say(DIE),
    "death in thought": say(scripted.reasoning("Hm."), DIE),
    "an empty body": Answer(()),
    "no gzip": refuse(200, "no gzip", {**SSE, "Content-Encoding": "gzip"}),
    "no chunks": Answer((b"no",), headers={**SSE, "Transfer-Encoding": "chunked"}, framing="close"),
}


@pytest.mark.parametrize("bad", BAD_STARTS.values(), ids=BAD_STARTS.keys())
async def test_a_bad_start_is_tried_again(bench: Bench, bad: Answer) -> None:
    await bench.ask(bad, say("Because."))

    assert (bench.text, bench.asked) == ("Because.", ["small"] * 2)


async def test_tries_are_bounded_and_then_the_fallback_is_asked(bench: Bench) -> None:
    with pytest.raises(ModelFailed):
        await bench.ask(refuse(500), attempts=3, backoff=1.0, fallback_model="large")

    assert bench.asked == ["small"] * 3 + ["large"] * 3
    assert all(0.5 <= nap <= 1 for nap in bench.naps[::2])
    assert all(1 <= nap <= 2 for nap in bench.naps[1::2])


async def test_all_tries_at_a_model_share_a_budget_of_time(bench: Bench) -> None:
    with pytest.raises(ModelFailed):
        await bench.ask(refuse(500), first_token_timeout=1.0, backoff=5.0)

    assert (bench.asked, bench.naps) == (["small"], [])


LATER = formatdate(time() + 3600, usegmt=True)


@pytest.mark.parametrize(
    ("answer", "asked"),
    [
        *((refuse(status), ["small", "large"]) for status in (400, 404, 413, 422)),
        *((refuse(429, headers={"Retry-After": at}), ["small", "large"]) for at in ("6", LATER)),
        *((refuse(status), ["small"]) for status in (401, 403)),
        (refuse(307, headers={"Location": "/v1/elsewhere"}), ["small"]),
    ],
)
async def test_a_refusal_says_whether_the_fallback_is_worth_asking(
    bench: Bench, answer: Answer, asked: list[str]
) -> None:
    with pytest.raises(ModelFailed):
        await bench.ask(answer, refuse(401), fallback_model="large")

    assert (bench.asked, bench.naps) == (asked, [])


@pytest.mark.parametrize(
    ("told", "least", "most"),
    [
        ("3", 3, 3),
        ("0.5", 0.5, 0.5),
        ("-1", 0, 0),
        ("nan", 0, 0),
        ("soon", 0, 0),
        ("1 Foo 1", 0, 0),
    ],
)
async def test_retry_after_is_obeyed(bench: Bench, told: str, least: float, most: float) -> None:
    await bench.ask(refuse(429, headers={"Retry-After": told}), say("Because."), backoff=0)

    assert least <= bench.naps[0] <= most


async def test_retry_after_may_be_a_date(bench: Bench) -> None:
    date = formatdate(time() + 4, usegmt=True)
    await bench.ask(refuse(503, headers={"Retry-After": date}), say("Because."), backoff=0)

    assert 2 < bench.naps[0] <= 4


LATE_TROUBLE: list[tuple[Step, ...]] = [
    *((DIE,), (), (ERROR,), (b"event: error\ndata: {}\n\n",), (b"data: {]\n\n",)),
    *((b"x" * 2_000_000,), (anyio.Event(),), (b": ping\n\n", anyio.Event())),
]


@pytest.mark.parametrize("trouble", LATE_TROUBLE, ids=str)
async def test_after_the_first_piece_nothing_is_repeated(
    bench: Bench, trouble: tuple[Step, ...]
) -> None:
    begun = anyio.Event()
    bench.model.answers(say("Be", begun, *trouble, finish=None, done=False))
    with anyio.fail_after(5), pytest.raises(ModelFailed):
        async for delta in bench.client(silence_timeout=0.05).stream(PROMPT):
            bench.text += delta.text
            begun.set()

    assert (bench.text, bench.asked) == ("Be", ["small"])


@pytest.mark.parametrize("step", [anyio.Event(), DIE])
async def test_a_whole_answer_is_not_spoilt_by_what_follows_it(bench: Bench, step: Any) -> None:
    answer = say("Because.", done=False)
    await bench.ask(Answer((*answer.steps, step)))

    assert bench.text == "Because."


async def test_a_whole_answer_leaves_its_connection_to_the_next(bench: Bench) -> None:
    await bench.ask()
    await bench.ask()

    assert bench.model.connections == 1


@pytest.mark.parametrize("steps", [(anyio.Event(),), (b": ping\n\n", anyio.Event())])
async def test_a_model_that_gives_no_sign_of_life_is_given_up(bench: Bench, steps: Any) -> None:
    with pytest.raises(ModelFailed, match="in time"):
        await bench.ask(say(*steps), first_token_timeout=0.05)

    assert bench.asked == ["small"] * 2


async def test_a_model_that_thinks_is_alive(bench: Bench) -> None:
    thought = anyio.Event()
    bench.model.answers(say(scripted.reasoning("Hm."), thought, "Yes"))
    async with aclosing(bench.client(first_token_timeout=0.05).stream(PROMPT)) as deltas:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(bench.model.asked)
            with anyio.move_on_after(0.1):
                await bench.model.disconnected.wait()
            thought.set()
        assert (await anext(deltas)).text == "Yes"
