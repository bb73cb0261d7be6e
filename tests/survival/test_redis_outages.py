"""Tests of answers while Redis is down, hangs, is slow, or loses its data."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import anyio
import pytest
from msgspec import Struct
from msgspec.structs import replace
from redis.asyncio import Redis

from app.config import Settings
from app.infra.embedded.wait import until
from tests.redis_proxy import RedisProxy
from tests.scripted_model import ScriptedModel, say
from tests.service import CHAT, Client, running
from tests.survival.reading import SOON, asking, data_of, following, said

pytestmark = pytest.mark.anyio

# Seconds for a token to arrive whatever Redis does: a fraction of a slow command's time.
AT_ONCE = 0.25
# Seconds to check that nothing happens.
A_WHILE = 0.5


@pytest.fixture
async def proxy(redis_url: str) -> AsyncIterator[RedisProxy]:
    async with RedisProxy(redis_url) as proxy:
        yield proxy


class Outage(Struct, frozen=True):
    """Begins and ends an outage of Redis for `worker`."""

    begin: Callable[[], None]
    end: Callable[[], None]


@pytest.fixture(params=["away", "frozen"])
def outage(request: pytest.FixtureRequest, proxy: RedisProxy) -> Outage:
    if request.param == "away":
        return Outage(proxy.cut, proxy.restore)
    return Outage(proxy.freeze, proxy.thaw)


@pytest.fixture
async def worker(model_settings: Settings, proxy: RedisProxy) -> AsyncIterator[Client]:
    """A worker whose connection to Redis goes through `proxy`."""
    settings = replace(model_settings, redis_url=proxy.url, memory_timeout=0.3)
    async with running(settings) as worker:
        yield worker


@pytest.fixture
async def other(model_settings: Settings) -> AsyncIterator[Client]:
    """A worker without outages."""
    async with running(model_settings) as worker:
        yield worker


async def test_local_viewers_only_notice_that_memory_is_unavailable(
    worker: Client, model: ScriptedModel, outage: Outage
) -> None:
    words = [(anyio.Event(), f" word {number}") for number in range(5)]
    model.answers(say("One", *(step for word in words for step in word)))
    async with asking(worker) as reader:
        await reader.until(2)
        outage.begin()
        for number, (let_out, _) in enumerate(words):
            let_out.set()
            with anyio.fail_after(AT_ONCE):
                await reader.until(3 + number)
        done = data_of((await reader.rest())[-1])
    assert (done["memory"], done["finish_reason"]) == ("unavailable", "stop")
    outage.end()


async def test_the_next_turn_after_an_outage_is_logged_and_remembered(
    worker: Client, other: Client, model: ScriptedModel, outage: Outage
) -> None:
    conversation = await worker.conversation("c")
    outage.begin()
    async with asking(worker, conversation_id=conversation) as reader:
        assert data_of((await reader.rest())[-1])["memory"] == "unavailable"
    outage.end()
    held = anyio.Event()
    model.answers(say("One", held, " two"))
    async with asking(worker, conversation_id=conversation) as reader:
        await reader.until(2)
        async with following(other, reader.turn_id) as remote:
            held.set()
            assert await remote.rest() == await reader.rest()
    assert data_of(reader.frames[-1])["memory"] == "kept"
    _, kept, _ = await other.call("GET", f"/api/v1/conversations/{conversation}")
    assert [turn["answer"] for turn in kept["turns"]] == ["One two"]


async def test_a_turn_that_runs_through_an_outage_is_logged_completely(
    worker: Client, other: Client, model: ScriptedModel, outage: Outage
) -> None:
    meanwhile, afterwards = anyio.Event(), anyio.Event()
    model.answers(say("One", meanwhile, " two", " three", afterwards, " four"))
    async with asking(worker) as reader, following(other, reader.turn_id) as remote:
        await remote.until(2)
        outage.begin()
        meanwhile.set()
        await reader.until(4)
        outage.end()
        assert await remote.until(4) == reader.frames
        afterwards.set()
        assert await remote.rest() == await reader.rest()
    async with following(other, reader.turn_id, after=reader.frames[0]) as late:
        assert await late.rest() == reader.frames[1:]


async def test_remote_viewers_wait_and_get_every_event_once(
    worker: Client, other: Client, model: ScriptedModel, outage: Outage
) -> None:
    meanwhile, afterwards = anyio.Event(), anyio.Event()
    model.answers(say("One", meanwhile, " two", " three", afterwards, " four"))
    async with asking(other) as reader, following(worker, reader.turn_id) as remote:
        await remote.until(2)
        outage.begin()
        meanwhile.set()
        await reader.until(4)
        outage.end()
        assert await remote.until(4) == reader.frames
        afterwards.set()
        assert await remote.rest() == await reader.rest()


async def test_a_slow_redis_does_not_delay_tokens(
    worker: Client, model: ScriptedModel, proxy: RedisProxy
) -> None:
    proxy.delay = 0.5
    words = [(anyio.Event(), f" word {number}") for number in range(8)]
    model.answers(say("One", *(step for word in words for step in word)))
    async with asking(worker) as reader:
        await reader.until(2)
        for number, (let_out, _) in enumerate(words):
            let_out.set()
            with anyio.fail_after(AT_ONCE):
                await reader.until(3 + number)
        frames = await reader.rest()
    assert said(frames) == "One" + "".join(word for _, word in words)
    assert data_of(frames[-1])["finish_reason"] == "stop"


async def test_streams_are_logged_again_after_redis_lost_its_data(
    worker: Client, other: Client, model: ScriptedModel, redis_url: str
) -> None:
    held = anyio.Event()
    model.answers(say("One", held, " two"))
    async with asking(worker) as reader, following(other, reader.turn_id) as remote:
        await remote.until(2)
        async with Redis.from_url(redis_url) as redis:
            await redis.flushall()
        held.set()
        assert await remote.rest() == await reader.rest()
        async with following(other, reader.turn_id) as late:
            assert await late.rest() == reader.frames


async def test_a_lease_that_expired_during_an_outage_can_be_renewed(
    model_settings: Settings, model: ScriptedModel, redis_url: str
) -> None:
    held = anyio.Event()
    model.answers(say("One", held, " two"))
    async with (
        RedisProxy(redis_url) as owners,
        RedisProxy(redis_url) as viewers,
        running(replace(model_settings, redis_url=owners.url)) as owner,
        running(replace(model_settings, redis_url=viewers.url)) as other,
        asking(owner) as reader,
        following(other, reader.turn_id) as remote,
    ):
        await remote.until(2)
        owners.cut()
        viewers.cut()
        async with Redis.from_url(redis_url) as redis:
            await redis.flushall()
        # More attempts than a client makes before it gives up.
        assert await until(lambda: min(owners.refused, viewers.refused) > 4, SOON)
        asked = viewers.times_asked
        viewers.restore()
        # More than a new connection and two reads of the lease.
        assert await until(lambda: viewers.times_asked > asked + 6, SOON)
        owners.restore()
        held.set()
        assert await remote.rest() == await reader.rest()


async def test_redis_is_not_used_while_no_turn_runs(
    worker: Client, other: Client, proxy: RedisProxy
) -> None:
    async with asking(worker) as reader:
        frames = await reader.rest()
    async with following(other, reader.turn_id) as remote:
        assert await remote.rest() == frames
    asked = proxy.times_asked
    assert asked > 0
    assert not await until(lambda: proxy.times_asked > asked, A_WHILE)


async def test_remote_viewers_share_one_connection(
    worker: Client, other: Client, model: ScriptedModel, proxy: RedisProxy
) -> None:
    held = anyio.Event()
    model.answers(say("One", held, " two"))
    async with AsyncExitStack() as stack:
        turns = [await stack.enter_async_context(asking(other)) for _ in range(3)]
        viewers = [
            await stack.enter_async_context(following(worker, turns[number % 3].turn_id))
            for number in range(30)
        ]
        for viewer in viewers:
            await viewer.until(2)
        held.set()
        for number, viewer in enumerate(viewers):
            assert await viewer.rest() == await turns[number % 3].rest()
    assert proxy.most_connections <= 3


async def test_a_remote_turn_is_unavailable_during_an_outage(
    worker: Client, other: Client, model: ScriptedModel, outage: Outage
) -> None:
    model.answers(say("One", anyio.Event()))
    async with asking(other) as reader:
        await reader.until(2)
        outage.begin()
        for method in ("GET", "DELETE"):
            with anyio.fail_after(SOON):
                path = f"{CHAT}/{reader.turn_id}"
                status, problem, headers = await worker.call(method, path)
            assert (status, problem["status"]) == (503, 503), method
            assert int(headers["Retry-After"]) > 0
        outage.end()
        async with following(worker, reader.turn_id) as remote:
            assert await remote.until(2) == reader.frames
