"""The embedding client against a scripted server: requests, checks and retries."""

import asyncio
import json
import logging
import math
import socket
from collections.abc import AsyncIterator, Sequence
from typing import Any
from urllib.request import getproxies_environment

import anyio
import pytest

from app.infra.http.client import HTTPClient
from app.services.search.embedding import Embedder, EmbeddingFailed
from app.services.search.embedding.remote import BODY_LIMIT, RemoteConfig, RemoteEmbedder
from tests.raw_server import raw_server, replies
from tests.scripted_embedder import answer_with, embeddings, item
from tests.scripted_model import DIE, Answer, Request, ScriptedModel, page, refuse, zipped

pytestmark = pytest.mark.anyio


class Setup:
    """A scripted server, and a client whose waits between attempts are recorded, not slept."""

    def __init__(self, server: ScriptedModel, http: HTTPClient) -> None:
        self.server = server
        self.http = http
        self.waits: list[float] = []

    def client(self, **changes: Any) -> Embedder:
        defaults: dict[str, Any] = {"base_url": self.server.base_url, "model": "m", "attempts": 3}
        return RemoteEmbedder(self.http, RemoteConfig(**defaults | changes), self._sleep)

    async def _sleep(self, seconds: float) -> None:
        self.waits.append(seconds)

    async def embed(self, *texts: str, **changes: Any) -> list[list[float]]:
        with anyio.fail_after(5):
            return await self.client(**changes).embed_passages(texts)


@pytest.fixture
async def setup() -> AsyncIterator[Setup]:
    async with ScriptedModel() as server, HTTPClient() as http:
        yield Setup(server, http)


def vector_at(text: str) -> list[float]:
    """Return a vector of length three at an angle of so many radians."""
    return [3 * math.cos(float(text)), 3 * math.sin(float(text))]


def angles(vectors: Sequence[Sequence[float]]) -> list[float]:
    return [round(math.atan2(y, x), 6) for x, y in vectors]


async def test_the_request_uses_only_common_parameters(setup: Setup) -> None:
    setup.server.answers(embeddings(vector_at))
    await setup.embed("1", "2", api_key="sk-1")
    (request,) = setup.server.requests
    assert request.path == "/v1/embeddings"
    assert request.body == {"model": "m", "input": ["1", "2"]}
    assert request.headers["authorization"] == "Bearer sk-1"


@pytest.mark.parametrize("end", ["/", "/embeddings"])
async def test_the_url_may_include_the_path_and_the_key_is_optional(setup: Setup, end: str) -> None:
    setup.server.answers(embeddings(vector_at))
    await setup.embed("1", base_url=setup.server.base_url + end)
    assert setup.server.requests[0].path == "/v1/embeddings"
    assert "authorization" not in setup.server.requests[0].headers


async def test_the_model_names_the_embedder(setup: Setup) -> None:
    assert setup.client(model="text-embed-9").name == "text-embed-9"


async def test_questions_and_passages_have_their_own_model_and_prefix(setup: Setup) -> None:
    setup.server.answers(embeddings())
    client = setup.client(query_model="q", query_prefix="query:", document_prefix="passage:")
    with anyio.fail_after(5):
        await client.embed_questions(["How loud?"])
        await client.embed_passages(["Loud.", ""])
    assert [request.body for request in setup.server.requests] == [
        {"model": "q", "input": ["query: How loud?"]},
        {"model": "m", "input": ["passage: Loud.", "passage: ."]},
    ]


async def test_only_what_changes_passages_vectors_changes_the_name(setup: Setup) -> None:
    assert setup.client(query_model="q", query_prefix="query:").name == "m"
    prefixed = {setup.client(document_prefix=prefix).name for prefix in ("", "passage:", "text:")}
    assert len(prefixed) == 3


async def test_no_texts_make_no_request(setup: Setup) -> None:
    assert await setup.embed() == []
    assert not setup.server.requests


async def test_vectors_have_length_one_and_the_order_of_their_index(setup: Setup) -> None:
    setup.server.answers(embeddings(vector_at, backwards=True))
    vectors = await setup.embed("0.3", "0.1", "0.2")
    assert angles(vectors) == [0.3, 0.1, 0.2]
    assert [math.hypot(*vector) for vector in vectors] == pytest.approx([1, 1, 1])


async def test_many_texts_are_sent_in_batches_and_keep_their_order(setup: Setup) -> None:
    setup.server.answers(embeddings(vector_at))
    numbers = [number / 100 for number in range(150)]
    vectors = await setup.embed(*map(str, numbers))
    assert angles(vectors) == numbers
    assert sorted(len(request.body["input"]) for request in setup.server.requests) == [22, 64, 64]


async def test_the_number_of_concurrent_requests_is_limited(setup: Setup) -> None:
    held = anyio.Event()

    def hold(request: Request) -> Answer:
        answer = embeddings(vector_at)(request)
        return Answer((held, *answer.steps), headers=answer.headers)

    setup.server.answers(hold)
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(setup.client(batch=1, concurrency=2).embed_passages, list("12345"))
            await setup.server.asked(2)
            await anyio.wait_all_tasks_blocked()
            assert len(setup.server.requests) == 2
            held.set()
    assert len(setup.server.requests) == 5


async def test_a_blank_text_is_replaced(setup: Setup) -> None:
    setup.server.answers(embeddings(lambda text: [1.0, float(len(text))]))
    vectors = await setup.embed("", " \n", "abc")
    assert all(text.strip() for text in setup.server.requests[0].body["input"])
    assert vectors[0] == vectors[1] != vectors[2]


ONE = [item(0, [3.0, 4.0])]
TEMPORARY = [
    *(refuse(status) for status in (408, 429, 500, 503)),
    *(page(status=502), Answer((DIE,)), Answer((b"{", DIE))),
]


@pytest.mark.parametrize("failure", TEMPORARY)
async def test_a_temporary_failure_is_retried(setup: Setup, failure: Answer) -> None:
    setup.server.answers(failure, answer_with(ONE))
    assert await setup.embed("x") == [[0.6, 0.8]]
    assert len(setup.server.requests) == 2


async def test_a_server_that_keeps_failing_is_given_up(setup: Setup) -> None:
    setup.server.answers(refuse(500, "upstream words"))
    with pytest.raises(EmbeddingFailed, match=r"^The embedding server failed \(status 500\)\.$"):
        await setup.embed("x", backoff=0.4)
    assert len(setup.server.requests) == 3
    first, second = setup.waits
    assert 0.2 <= first <= 0.4 <= second <= 0.8


async def test_retry_after_is_honoured(setup: Setup) -> None:
    setup.server.answers(refuse(429, headers={"Retry-After": "7"}), answer_with(ONE))
    await setup.embed("x", deadline=8)
    assert setup.waits == [7]


async def test_a_wait_beyond_the_deadline_fails_at_once(setup: Setup) -> None:
    setup.server.answers(refuse(429, headers={"Retry-After": "7"}))
    with pytest.raises(EmbeddingFailed, match="overloaded"):
        await setup.embed("x", deadline=6)
    assert len(setup.server.requests) == 1
    assert not setup.waits


def bare(body: str) -> Answer:
    return refuse(200, body)


def bomb() -> Answer:
    """A small compressed body that is larger than the limit."""
    return zipped(bare(" " * (BODY_LIMIT + 1)))


PERMANENT = {
    "a rejected key": refuse(401),
    "an unknown model": refuse(404),
    "rejected texts": refuse(400),
    "a redirect": refuse(307, headers={"Location": "http://elsewhere/v1"}),
    "a web page": page(),
    "no body": bare(" "),
    "a body over the limit": bomb(),
    "another format": bare('{"embeddings": [[1, 0]]}'),
    "endless nesting": bare('{"data": [], "usage": ' + "[" * 100_000),
    "bad UTF-8": Answer((b'{"data": [], "\xff": 1}',)),
    "no list": answer_with([item(0, "AACAPw==")]),
    "null": answer_with([item(0, [None, 1.0])]),
    "not a number": answer_with([item(0, [math.nan, 1.0])]),
    "infinite": bare(json.dumps({"data": [item(0, [1.0])]}).replace("1.0", "1e999")),
    "zero length": answer_with([item(0, [0.0, 0.0])]),
    "no dimensions": answer_with([item(0, [])]),
    "no vectors": answer_with([]),
    "one too many": answer_with([*ONE, item(1, [1.0, 0.0])]),
    "a wrong index": answer_with([item(1, [1.0, 0.0])]),
}


@pytest.mark.parametrize("answer", PERMANENT.values(), ids=PERMANENT.keys())
async def test_a_permanent_failure_is_not_retried(setup: Setup, answer: Answer) -> None:
    setup.server.answers(answer)
    with pytest.raises(EmbeddingFailed):
        await setup.embed("x")
    assert len(setup.server.requests) == 1


async def test_vectors_of_different_dimensions_are_rejected(setup: Setup) -> None:
    setup.server.answers(answer_with([*ONE, item(1, [1.0, 0.0, 0.0])]))
    with pytest.raises(EmbeddingFailed, match=r"dimensions \[2, 3\]"):
        await setup.embed("x", "y")


async def test_vectors_of_other_dimensions_than_before_are_rejected(setup: Setup) -> None:
    setup.server.answers(answer_with(ONE), answer_with([item(0, [1.0, 0.0, 0.0])]))
    client = setup.client()
    await client.embed_passages(["x"])
    with pytest.raises(EmbeddingFailed, match="different dimensions"):
        await client.embed_passages(["x"])


async def test_a_failed_batch_cancels_the_rest(setup: Setup) -> None:
    def answer(request: Request) -> Answer:
        if request.body["input"] == ["1"]:
            return refuse(400)
        return Answer((anyio.Event(),))

    setup.server.answers(answer)
    with pytest.raises(EmbeddingFailed, match="rejected the texts"):
        await setup.embed("0", "1", "2", batch=1)
    with anyio.fail_after(5):
        await setup.server.disconnected.wait()


async def test_a_silent_server_times_out(setup: Setup) -> None:
    setup.server.answers(Answer((anyio.Event(),)))
    with pytest.raises(EmbeddingFailed, match="in time"):
        await setup.embed("x", timeout=0.05, attempts=2)
    assert len(setup.server.requests) == 2


async def test_an_unreachable_server_fails_without_showing_its_url(setup: Setup) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://user:pass@127.0.0.1:{free.getsockname()[1]}/v1"
        with pytest.raises(EmbeddingFailed, match="cannot be reached") as failed:
            await setup.embed("x", base_url=address)
    assert "pass" not in str(failed.value)
    assert len(setup.waits) == 2


async def test_a_failure_leaves_no_cancellation_behind(setup: Setup) -> None:
    setup.server.answers(refuse(401))
    with pytest.raises(EmbeddingFailed):
        await setup.embed("x")
    # Otherwise every later asyncio.timeout in this task would raise on Python 3.11.
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_keys_texts_and_response_bodies_are_not_logged(
    setup: Setup, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    setup.server.answers(refuse(500, "upstream words"))
    with pytest.raises(EmbeddingFailed):
        await setup.embed("a private text", api_key="sk-secret")
    assert "status 500" in caplog.text
    for secret in ("sk-secret", "a private text", "upstream words"):
        assert secret not in caplog.text
    assert "sk-secret" not in repr(RemoteConfig(base_url="x", model="m", api_key="sk-secret"))


async def test_requests_go_through_the_proxy_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    body = answer_with(ONE).body
    reply = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    config = RemoteConfig(base_url="http://embeddings.test/v1", model="m")
    async with raw_server(replies(reply)) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        async with HTTPClient(getproxies_environment()) as http:
            assert await RemoteEmbedder(http, config).embed_questions(["x"]) == [[0.6, 0.8]]
    assert proxy.requests[0].startswith("POST http://embeddings.test/v1/embeddings HTTP/1.1")


async def test_no_proxy_is_honoured(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    setup.server.answers(answer_with(ONE))
    port = setup.server.base_url.rpartition(":")[2]
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "localhost")
    async with HTTPClient(getproxies_environment()) as http:
        config = RemoteConfig(base_url=f"http://localhost:{port}", model="m")
        assert await RemoteEmbedder(http, config).embed_questions(["x"]) == [[0.6, 0.8]]
