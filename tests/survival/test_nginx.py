"""nginx before several workers: what it sends on, to whom, and what it never sends twice."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import anyio
import pytest
from aiohttp import web

from app.settings import Settings
from tests.nginx import needs_nginx, nginx
from tests.relay import relay
from tests.scripted_model import ScriptedModel, say
from tests.service import CHAT, answer, running

pytestmark = [pytest.mark.anyio, needs_nginx]

QUESTION = {"query": "How fast should the attack be when I side-chain the bass to the kick?"}
# Enough that each of two workers is the first to be tried for some.
TIMES = 4


class Stub:
    """A worker that does but one thing with a request; `seen` holds what it was sent."""

    def __init__(self, answer: Callable[[web.BaseRequest], Awaitable[web.Response]]) -> None:
        self.address = ""
        self.seen: list[tuple[str, str | None, bytes]] = []
        self._answer = answer

    async def handle(self, request: web.BaseRequest) -> web.Response:
        """Note the request, and do with it what it does with all."""
        key = request.headers.get("Idempotency-Key")
        self.seen.append((request.method, key, await request.read()))
        return await self._answer(request)


async def serves(request: web.BaseRequest) -> web.Response:
    """Answer."""
    return web.Response(text="served")


async def refuses(request: web.BaseRequest) -> web.Response:
    """Refuse, as a worker that drains."""
    return web.Response(status=503, text="draining", headers={"Retry-After": "7"})


async def breaks(request: web.BaseRequest) -> web.Response:
    """Take the request and die of it."""
    assert request.transport
    request.transport.abort()
    return web.Response()


@asynccontextmanager
async def stub(
    answer: Callable[[web.BaseRequest], Awaitable[web.Response]],
) -> AsyncIterator[Stub]:
    """Run a worker that does this with every request."""
    running = Stub(answer)
    runner = web.ServerRunner(web.Server(running.handle), shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    running.address = f"{host}:{port}"
    try:
        yield running
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_what_a_worker_refuses_goes_to_the_next(method: str) -> None:
    async with (
        stub(refuses) as draining,
        stub(serves) as other,
        nginx([draining.address, other.address]) as front,
    ):
        replies = [await front.call(method, CHAT, data=b"{}") for _ in range(TIMES)]
        assert [(status, body) for status, body, _ in replies] == [(200, b"served")] * TIMES
        assert 0 < len(draining.seen) < TIMES
        assert len(other.seen) == TIMES


async def test_a_worker_that_is_away_costs_no_question() -> None:
    async with (
        stub(serves) as other,
        relay(other.address) as away,
        nginx([away.address, other.address]) as front,
    ):
        await away.close()
        for _ in range(TIMES):
            assert (await front.call("POST", CHAT, json=QUESTION))[0] == 200


async def test_a_question_is_sent_again_under_the_same_key_and_each_has_its_own() -> None:
    async with (
        stub(breaks) as dying,
        stub(serves) as other,
        nginx([dying.address, other.address]) as front,
    ):
        for _ in range(TIMES):
            assert (await front.call("POST", CHAT, json=QUESTION))[0] == 200
        assert 0 < len(dying.seen) < TIMES
        assert set(dying.seen) < set(other.seen)
        assert len({key for _, key, _ in other.seen}) == TIMES
        assert all(key for _, key, _ in other.seen)


async def test_a_clients_own_key_is_left_as_it_is() -> None:
    async with stub(serves) as worker, nginx([worker.address]) as front:
        await front.call("POST", CHAT, json=QUESTION, headers={"Idempotency-Key": "mine"})
        assert [key for _, key, _ in worker.seen] == ["mine"]


async def test_where_all_workers_refuse_the_client_is_told_when_to_come_back() -> None:
    async with (
        stub(refuses) as one,
        stub(refuses) as other,
        nginx([one.address, other.address]) as front,
    ):
        # As often as before, however often they refused: none is taken for dead.
        for times in range(1, TIMES + 1):
            status, body, headers = await front.call("POST", CHAT, json=QUESTION)
            assert (status, body, headers["Retry-After"]) == (503, b"draining", "7")
            assert len(one.seen) == len(other.seen) == times


async def test_a_viewer_is_told_no_status_while_no_worker_is_there() -> None:
    async with (
        stub(serves) as worker,
        relay(worker.address) as away,
        nginx([away.address]) as front,
    ):
        await away.close()
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await front.call("GET", CHAT + "/t_1")
        await away.open()
        assert (await front.call("GET", CHAT + "/t_1"))[0] == 200


async def test_an_event_leaves_nginx_when_it_comes(
    survival_settings: Settings, model: ScriptedModel
) -> None:
    held = anyio.Event()
    model.answers(say("One,", " two", held, " three."))
    async with (
        running(survival_settings) as worker,
        nginx([worker.url.removeprefix("http://")]) as front,
        front.stream(QUESTION) as stream,
    ):
        with anyio.fail_after(10):
            events = await stream.until("token")
            held.set()
            events += await stream.rest()
    assert answer(events) == "One, two three."
