"""Admission: whom a caller counts for, running turns, and Redis that does not respond."""

import socket
import time
from collections.abc import AsyncIterator

import anyio
import pytest

from app.infra.redis import RedisClient, redis_client
from app.services.access.caller import Caller, Quota
from app.services.access.changes import Changes
from app.services.access.counts import DAY, Demand
from app.services.access.limiter import RETRY_INTERVAL, Limiter
from app.services.access.limits import Holder, Holders, Limits
from app.services.access.local_counts import MAX_HOLDERS, LocalCounts
from app.services.access.redis_counts import RedisCounts
from app.services.access.running_turns import RENEWAL_INTERVAL, RunningTurns
from app.services.streams.batch import Batch

pytestmark = pytest.mark.anyio

CALLER, SERVICE = Limits(60, 0, 8, 0), Limits(1_000)
HOLDERS = Holders(CALLER, SERVICE)
ADDRESS = ("address", CALLER)
ALL = ("service", SERVICE)


@pytest.fixture
async def redis(anyio_backend: object, redis_url: str) -> AsyncIterator[RedisClient]:
    async with redis_client(redis_url, timeout=5) as redis:
        yield redis


@pytest.mark.parametrize(
    ("caller", "holders"),
    [
        (Caller("192.0.2.1"), [ADDRESS, ALL]),
        (Caller("192.0.2.1", "browser", "browser:1"), [ADDRESS, ("subject", CALLER), ALL]),
        (Caller("192.0.2.1", "secret", "key:k", "k"), [("key", CALLER), ALL]),
        (
            Caller("192.0.2.1", "secret", "key:k", "k", Quota(per_minute=600, per_day=9)),
            [("key", Limits(600, 9, 8, 0)), ALL],
        ),
        (
            Caller("192.0.2.1", "publishable", "key:k:ann", "k", Quota(at_once=99)),
            [ADDRESS, ("key", Limits(at_once=99)), ("subject", CALLER), ALL],
        ),
        (
            Caller("192.0.2.1", "token", "key:k:ann", "k", subject_quota=Quota(per_minute=5)),
            [ADDRESS, ("subject", Limits(5, 0, 8, 0)), ALL],
        ),
        # One visitor of a site must not use up what the links of all others may.
        (Caller("192.0.2.1", "link", "key:k", "k"), [ADDRESS, ALL]),
        (Caller("192.0.2.1", "link", "key:k:ann", "k"), [ADDRESS, ("subject", CALLER), ALL]),
    ],
)
def test_holders_of_a_caller(caller: Caller, holders: list[tuple[str, Limits]]) -> None:
    assert [(it.kind, it.limits) for it in HOLDERS.of(caller)] == holders


def test_ipv6_addresses_of_one_network_are_one_holder() -> None:
    def key(address: str) -> str:
        return HOLDERS.of(Caller(address))[0].key

    assert key("2001:db8:1:2::1") == key("2001:db8:1:2:a:b:c:d")
    addresses = ("2001:db8:1:2::1", "2001:db8:1:3::1", "::ffff:192.0.2.1", "192.0.2.2", "testing")
    assert len({key(address) for address in addresses}) == len(addresses)


async def test_without_limits_redis_is_not_used(redis: RedisClient) -> None:
    admission = await Limiter(redis, Holders(), timeout=5).admit(Caller("a"), 1, "t")
    assert admission.standings == ()
    assert await redis.keys("*") == []


async def test_a_running_turn_is_renewed_until_it_ends(redis: RedisClient) -> None:
    now = 0.0
    holder = Holder("address", "a", Limits(at_once=1))
    changes = Changes()
    turns = RunningTurns(changes, lambda: now)
    turns.add("t", [holder])

    async def expiry() -> float:
        turns.renew(time.time())
        batch = Batch(redis)
        for command in changes.take_all():
            batch.add(*command)
        assert await batch.execute()
        found = await redis.hget(holder.key, "turn:t")
        return float(found or 0) / 1_000_000 - time.time()

    assert await expiry() < 0
    now = RENEWAL_INTERVAL + 1
    assert 50 < await expiry() <= 60
    await redis.delete(holder.key)
    assert await expiry() < 0
    now *= 2
    assert 50 < await expiry() <= 60
    assert 170 < await redis.ttl(holder.key) <= 180
    assert list(turns.end("t", 0, None, time.time())) == [holder]
    assert await expiry() < 0
    now *= 2
    assert await expiry() < 0
    assert list(turns.end("t", 0, None, time.time())) == []


async def test_a_charge_given_back_after_the_counts_have_expired_leaves_nothing(
    redis: RedisClient,
) -> None:
    limiter = Limiter(redis, Holders(Limits(per_minute=10, per_day=10)), timeout=5)
    await limiter.admit(Caller("a"), 1, "t")
    await redis.flushdb()
    limiter.end("t", refund=1)
    batch = Batch(redis)
    limiter.write(batch)
    assert await batch.execute()
    for key in await redis.keys("*"):
        assert 0 < await redis.ttl(key) <= DAY + 180


async def test_tokens_of_a_turn_count_once(redis: RedisClient) -> None:
    limiter = Limiter(redis, Holders(Limits(tokens_per_day=10)), timeout=5)
    await limiter.admit(Caller("a"), 1, "t")
    for _ in range(2):
        limiter.end("t", tokens=10)
    assert (await limiter.admit(Caller("a"), 0.1)).standings[0].remaining == 0
    refused = await limiter.admit(Caller("a"), 1, "u")
    assert refused.error
    assert (refused.error.limit, refused.holder) == ("tokens", "address")
    assert 0 < refused.error.retry_after <= DAY


async def test_the_tightest_limit_is_reported(redis: RedisClient) -> None:
    limiter = Limiter(redis, Holders(Limits(per_minute=60)), timeout=5)
    for number in range(3):
        caller = Caller("a", "browser", f"browser:{number}")
        (standing,) = (await limiter.admit(caller, 1, f"t{number}")).standings
    assert (standing.limit, standing.remaining) == (60, 57)


async def test_requests_do_not_wait_for_redis_in_turn_while_it_does_not_respond(
    redis: RedisClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited = 0

    async def no_reply(*_: object) -> None:
        nonlocal waited
        waited += 1
        await anyio.sleep_forever()

    monkeypatch.setattr(RedisCounts, "admit", no_reply)
    # No shorter than the pause that follows, which must begin when the wait ends.
    limiter = Limiter(redis, Holders(CALLER), timeout=RETRY_INTERVAL)
    for _ in range(3):
        assert (await limiter.admit(Caller("a"), 1)).error is None
    assert waited == 1


async def test_each_worker_counts_by_itself_if_redis_does_not_respond() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}"
        async with redis_client(url, timeout=5) as redis:
            limiter = Limiter(redis, Holders(Limits(per_minute=2, at_once=1)), timeout=0.05)
            with anyio.fail_after(5):
                assert (await limiter.admit(Caller("a"), 1, "t")).error is None
                refused = (await limiter.admit(Caller("a"), 1, "u")).error
                assert refused
                assert refused.limit == "running"
                limiter.end("t")
                assert (await limiter.admit(Caller("a"), 1, "u")).error is None
                limiter.end("u")
                refused = (await limiter.admit(Caller("a"), 1, "v")).error
                assert refused
                assert refused.limit == "minute"
                assert (await limiter.admit(Caller("b"), 1, "w")).error is None


def test_memory_for_holders_is_bounded() -> None:
    counts = LocalCounts()
    limits = Limits(per_minute=1)
    for number in range(MAX_HOLDERS + 1):
        counts.admit([Holder("address", str(number), limits)], Demand(1_000, "t"))
    # The first one was forgotten, the last one was not.
    uses = [
        counts.admit([Holder("address", str(number), limits)], Demand(1_000, "t"))[0].refused
        for number in (MAX_HOLDERS, 0)
    ]
    assert uses == ["minute", ""]
