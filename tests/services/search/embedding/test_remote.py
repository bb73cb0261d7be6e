"""The embedding server's client against a scripted one: what it asks, checks and repeats."""

import asyncio
import json
import logging
import math
import socket
from collections.abc import AsyncIterator, Sequence
from typing import Any

import aiohttp
import anyio
import pytest

from app.services.search.embedding import Embedder, EmbeddingFailed
from app.services.search.embedding.remote import RemoteConfig, RemoteEmbedder
from tests.scripted_embedder import answer_with, embeddings, item
from tests.scripted_model import DIE, Answer, Request, ScriptedModel, page, refuse

pytestmark = pytest.mark.anyio


class Bench:
    """A scripted server, and a client that notes how long it would have slept between tries."""

    def __init__(self, server: ScriptedModel, session: aiohttp.ClientSession) -> None:
        self.server = server
        self.session = session
        self.naps: list[float] = []

    def client(self, **changes: Any) -> Embedder:
        usual: dict[str, Any] = {"base_url": self.server.base_url, "model": "m", "attempts": 3}
        return RemoteEmbedder(self.session, RemoteConfig(**usual | changes), self._nap)

    async def _nap(self, seconds: float) -> None:
        self.naps.append(seconds)

    async def embed(self, *texts: str, **changes: Any) -> list[list[float]]:
        with anyio.fail_after(5):
            return await self.client(**changes)(texts)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with ScriptedModel() as server, aiohttp.ClientSession() as session:
        yield Bench(server, session)


def turned(text: str) -> list[float]:
    """A number comes in; a vector of length three goes out, turned by as many radians."""
    return [3 * math.cos(float(text)), 3 * math.sin(float(text))]


def angles(vectors: Sequence[Sequence[float]]) -> list[float]:
    return [round(math.atan2(y, x), 6) for x, y in vectors]


async def test_the_request_is_what_every_such_server_takes(bench: Bench) -> None:
    bench.server.answers(embeddings(turned))
    await bench.embed("1", "2", api_key="sk-1")
    (request,) = bench.server.requests
    assert request.path == "/v1/embeddings"
    assert request.body == {"model": "m", "input": ["1", "2"]}
    assert request.headers["authorization"] == "Bearer sk-1"


@pytest.mark.parametrize("end", ["/", "/embeddings"])
async def test_the_address_may_end_in_any_way_and_needs_no_key(bench: Bench, end: str) -> None:
    bench.server.answers(embeddings(turned))
    await bench.embed("1", base_url=bench.server.base_url + end)
    assert bench.server.requests[0].path == "/v1/embeddings"
    assert "authorization" not in bench.server.requests[0].headers


async def test_the_model_names_the_embedder(bench: Bench) -> None:
    assert bench.client(model="text-embed-9").name == "text-embed-9"


async def test_no_text_is_no_request(bench: Bench) -> None:
    assert await bench.embed() == []
    assert not bench.server.requests


async def test_vectors_are_of_length_one_and_in_the_order_of_their_index(bench: Bench) -> None:
    bench.server.answers(embeddings(turned, backwards=True))
    vectors = await bench.embed("0.3", "0.1", "0.2")
    assert angles(vectors) == [0.3, 0.1, 0.2]
    assert [math.hypot(*vector) for vector in vectors] == pytest.approx([1, 1, 1])


async def test_many_texts_are_asked_in_batches_and_keep_their_order(bench: Bench) -> None:
    bench.server.answers(embeddings(turned))
    numbers = [number / 100 for number in range(150)]
    vectors = await bench.embed(*map(str, numbers))
    assert angles(vectors) == numbers
    assert sorted(len(request.body["input"]) for request in bench.server.requests) == [22, 64, 64]


async def test_no_more_batches_are_on_their_way_at_once_than_allowed(bench: Bench) -> None:
    held = anyio.Event()

    def hold(request: Request) -> Answer:
        answer = embeddings(turned)(request)
        return Answer((held, *answer.steps), headers=answer.headers)

    bench.server.answers(hold)
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(bench.client(batch=1, at_once=2), list("12345"))
            await bench.server.asked(2)
            await anyio.wait_all_tasks_blocked()
            assert len(bench.server.requests) == 2
            held.set()
    assert len(bench.server.requests) == 5


async def test_a_blank_text_is_not_sent_as_it_is(bench: Bench) -> None:
    bench.server.answers(embeddings(lambda text: [1.0, float(len(text))]))
    vectors = await bench.embed("", " \n", "abc")
    assert all(text.strip() for text in bench.server.requests[0].body["input"])
    assert vectors[0] == vectors[1] != vectors[2]


ONE = [item(0, [3.0, 4.0])]
PASSING = [
    *(refuse(status) for status in (408, 429, 500, 503)),
    *(page(status=502), Answer((DIE,)), Answer((b"{", DIE))),
]


@pytest.mark.parametrize("failure", PASSING)
async def test_what_may_pass_is_asked_again(bench: Bench, failure: Answer) -> None:
    bench.server.answers(failure, answer_with(ONE))
    assert await bench.embed("x") == [[0.6, 0.8]]
    assert len(bench.server.requests) == 2


async def test_a_server_that_stays_away_is_given_up(bench: Bench) -> None:
    bench.server.answers(refuse(500, "upstream words"))
    with pytest.raises(EmbeddingFailed, match=r"^The embedding server failed \(status 500\)\.$"):
        await bench.embed("x", backoff=0.4)
    assert len(bench.server.requests) == 3
    first, second = bench.naps
    assert 0.2 <= first <= 0.4 <= second <= 0.8


async def test_a_server_is_left_alone_as_long_as_it_asks(bench: Bench) -> None:
    bench.server.answers(refuse(429, headers={"Retry-After": "7"}), answer_with(ONE))
    await bench.embed("x", deadline=8)
    assert bench.naps == [7]


async def test_a_wait_beyond_the_deadline_is_not_begun(bench: Bench) -> None:
    bench.server.answers(refuse(429, headers={"Retry-After": "7"}))
    with pytest.raises(EmbeddingFailed, match="overloaded"):
        await bench.embed("x", deadline=6)
    assert len(bench.server.requests) == 1
    assert not bench.naps


def bare(body: str) -> Answer:
    return refuse(200, body)


LASTING = {
    "a key that is refused": refuse(401),
    "a model that is unknown": refuse(404),
    "texts that are refused": refuse(400),
    "an address that moved": refuse(307, headers={"Location": "/v1/elsewhere"}),
    "a web page": page(),
    "no body": bare(" "),
    "another form": bare('{"embeddings": [[1, 0]]}'),
    "endless nesting": bare('{"data": [], "usage": ' + "[" * 100_000),
    "bad UTF-8": Answer((b'{"data": [], "\xff": 1}',)),
    "no list": answer_with([item(0, "AACAPw==")]),
    "null": answer_with([item(0, [None, 1.0])]),
    "not a number": answer_with([item(0, [math.nan, 1.0])]),
    "without end": bare(json.dumps({"data": [item(0, [1.0])]}).replace("1.0", "1e999")),
    "of no length": answer_with([item(0, [0.0, 0.0])]),
    "of no dimension": answer_with([item(0, [])]),
    "none": answer_with([]),
    "one too many": answer_with([*ONE, item(1, [1.0, 0.0])]),
    "another index": answer_with([item(1, [1.0, 0.0])]),
}


@pytest.mark.parametrize("answer", LASTING.values(), ids=LASTING.keys())
async def test_what_stays_wrong_is_not_asked_again(bench: Bench, answer: Answer) -> None:
    bench.server.answers(answer)
    with pytest.raises(EmbeddingFailed):
        await bench.embed("x")
    assert len(bench.server.requests) == 1


async def test_vectors_of_different_dimensions_are_refused(bench: Bench) -> None:
    bench.server.answers(answer_with([*ONE, item(1, [1.0, 0.0, 0.0])]))
    with pytest.raises(EmbeddingFailed, match=r"dimensions \[2, 3\]"):
        await bench.embed("x", "y")


async def test_a_server_that_changes_its_dimension_later_is_refused(bench: Bench) -> None:
    bench.server.answers(answer_with(ONE), answer_with([item(0, [1.0, 0.0, 0.0])]))
    client = bench.client()
    await client(["x"])
    with pytest.raises(EmbeddingFailed, match="different dimensions"):
        await client(["x"])


async def test_one_batch_that_fails_ends_the_rest(bench: Bench) -> None:
    def answer(request: Request) -> Answer:
        if request.body["input"] == ["1"]:
            return refuse(400)
        return Answer((anyio.Event(),))

    bench.server.answers(answer)
    with pytest.raises(EmbeddingFailed, match="refuses the texts"):
        await bench.embed("0", "1", "2", batch=1)
    with anyio.fail_after(5):
        await bench.server.disconnected.wait()


async def test_a_server_that_does_not_answer_is_given_up_in_time(bench: Bench) -> None:
    bench.server.answers(Answer((anyio.Event(),)))
    with pytest.raises(EmbeddingFailed, match="in time"):
        await bench.embed("x", timeout=0.05, attempts=2)
    assert len(bench.server.requests) == 2


async def test_nobody_at_the_address_is_said_in_one_sentence(bench: Bench) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://user:pass@127.0.0.1:{free.getsockname()[1]}/v1"
        with pytest.raises(EmbeddingFailed, match="cannot be reached") as failed:
            await bench.embed("x", base_url=address)
    assert "pass" not in str(failed.value)
    assert len(bench.naps) == 2


async def test_a_failure_leaves_no_cancellation_with_the_task_that_asked(bench: Bench) -> None:
    bench.server.answers(refuse(401))
    with pytest.raises(EmbeddingFailed):
        await bench.embed("x")
    # On the first Pythons 3.11 one that is left keeps all later time-outs from being told as such.
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_neither_key_nor_texts_nor_the_servers_words_are_logged(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    bench.server.answers(refuse(500, "upstream words"))
    with pytest.raises(EmbeddingFailed):
        await bench.embed("a private text", api_key="sk-secret")
    assert "status 500" in caplog.text
    for secret in ("sk-secret", "a private text", "upstream words"):
        assert secret not in caplog.text
    assert "sk-secret" not in repr(RemoteConfig(base_url="x", model="m", api_key="sk-secret"))
