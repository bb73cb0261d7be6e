"""The rule of the limits: counts in Redis and in memory admit and refuse the same requests."""

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

import pytest
from msgspec import Struct

from app.infra.redis import RedisClient, redis_client
from app.services.access.changes import Changes
from app.services.access.counts import DAY, SECOND, Demand, Use
from app.services.access.limits import Holder, Limits
from app.services.access.local_counts import LocalCounts
from app.services.access.redis_counts import RedisCounts, turn_field
from tests.cluster import cluster

pytestmark = pytest.mark.anyio


class Counts(Protocol):
    """Counts whose time the test moves."""

    async def admit(self, holders: Sequence[Holder], demand: Demand) -> list[Use]: ...

    async def end(self, holder: Holder, turn_id: str, tokens: int) -> None: ...

    async def wait(self, holder: Holder, seconds: int) -> None: ...


class InMemory:
    def __init__(self) -> None:
        self.now = 1_000_000_000.0
        self._counts = LocalCounts(lambda: self.now)

    async def admit(self, holders: Sequence[Holder], demand: Demand) -> list[Use]:
        return self._counts.admit(holders, demand)

    async def end(self, holder: Holder, turn_id: str, tokens: int) -> None:
        self._counts.end([holder], turn_id, tokens)

    async def wait(self, holder: Holder, seconds: int) -> None:
        self.now += seconds


class InRedis:
    """Makes everything in Redis older instead of waiting."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis
        self._counts = RedisCounts(redis)
        self._changes = Changes()

    async def admit(self, holders: Sequence[Holder], demand: Demand) -> list[Use]:
        return await self._counts.admit(holders, demand, self._changes)

    async def end(self, holder: Holder, turn_id: str, tokens: int) -> None:
        day = int(self._counts.now) // DAY
        self._changes.add(
            holder.key,
            ("HDEL", holder.key, turn_field(turn_id)),
            ("HINCRBY", holder.key, f"tokens:{day}", tokens),
        )

    async def wait(self, holder: Holder, seconds: int) -> None:
        for field, value in (await self._redis.hgetall(holder.key)).items():
            assert isinstance(field, bytes)
            kind, _, day = field.decode().partition(":")
            if kind in ("full_at", "turn"):
                await self._redis.hset(holder.key, field, int(value) - seconds * SECOND)
            elif seconds >= DAY:
                await self._redis.hdel(holder.key, field)
                await self._redis.hset(holder.key, f"{kind}:{int(day) - seconds // DAY}", value)


@pytest.fixture(params=["memory", "redis"])
async def counts(request: pytest.FixtureRequest, redis_url: str) -> AsyncIterator[Counts]:
    if request.param == "memory":
        yield InMemory()
        return
    async with redis_client(redis_url, timeout=5) as redis:
        yield InRedis(redis)


class Ask(Struct, frozen=True):
    """A question that starts a turn, and the limit that refuses it."""

    turn: str
    refused: str = ""


class Other(Struct, frozen=True):
    """Another request."""

    cost: int
    refused: str = ""


class End(Struct, frozen=True):
    """The end of a turn."""

    turn: str
    tokens: int = 0


class Wait(Struct, frozen=True):
    """A pause."""

    seconds: int


Step = Ask | Other | End | Wait


CASES: dict[str, tuple[Limits, list[Step]]] = {
    "a bucket is empty after a minute's questions": (
        Limits(per_minute=2),
        [Ask("a"), Ask("b"), Ask("c", "minute")],
    ),
    "a bucket refills evenly": (
        Limits(per_minute=2),
        [Ask("a"), Ask("b"), Wait(29), Ask("c", "minute"), Wait(2), Ask("c"), Ask("d", "minute")],
    ),
    "a bucket holds one minute at most": (
        Limits(per_minute=2),
        [Wait(600), Ask("a"), Ask("b"), Ask("c", "minute")],
    ),
    "requests take a part of a question": (
        Limits(per_minute=1),
        [Other(500), Ask("a", "minute"), Wait(31), Ask("a")],
    ),
    "an answer can be read after the last question": (
        Limits(per_minute=1),
        [Ask("a"), *[Other(100)] * 10, Other(100, "minute")],
    ),
    "refused questions cost nothing": (
        Limits(per_minute=1),
        [Ask("a"), *[Ask("b", "minute")] * 5, Wait(61), Ask("b")],
    ),
    "turns run at once up to the limit": (
        Limits(at_once=2),
        [Ask("a"), Ask("b"), Ask("c", "running"), End("a"), Ask("c"), Ask("d", "running")],
    ),
    "other requests are admitted while turns run": (
        Limits(at_once=1, per_minute=60),
        [Ask("a"), Other(100), Other(500)],
    ),
    "questions of a day": (
        Limits(per_day=2),
        [Ask("a"), Ask("b"), Ask("c", "day"), Other(1_000), Wait(DAY), Ask("c")],
    ),
    "model tokens of a day": (
        Limits(tokens_per_day=100),
        [Ask("a"), End("a", 99), Ask("b"), End("b", 1), Ask("c", "tokens"), Other(100),
         Wait(DAY), Ask("c")],
    ),
    "without limits everything is admitted": (
        Limits(),
        [Ask(turn) for turn in "abcdefgh"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
async def test_a_sequence_of_requests(counts: Counts, name: str) -> None:
    limits, steps = CASES[name]
    holder = Holder("address", "a", limits)
    for number, step in enumerate(steps):
        match step:
            case Ask(turn=turn, refused=refused):
                (use,) = await counts.admit([holder], Demand(1_000, turn))
                assert use.refused == refused, number
            case Other(cost=cost, refused=refused):
                (use,) = await counts.admit([holder], Demand(cost))
                assert use.refused == refused, number
            case End(turn=turn, tokens=tokens):
                await counts.end(holder, turn, tokens)
            case Wait(seconds=seconds):
                await counts.wait(holder, seconds)


async def test_use_is_reported(counts: Counts) -> None:
    holder = Holder("address", "a", Limits(6, 10, 2, 1_000))
    (use,) = await counts.admit([holder], Demand(1_000, "a"))
    assert (use.refused, use.asked, use.tokens, use.running) == ("", 1, 0, 1)
    assert use.full_in == 10 * SECOND
    await counts.end(holder, "a", 70)
    (use,) = await counts.admit([holder], Demand(500))
    assert (use.asked, use.tokens, use.running) == (1, 70, 0)
    assert 14 * SECOND < use.full_in <= 15 * SECOND


async def test_a_refusal_says_when_to_come_back(counts: Counts) -> None:
    holder = Holder("address", "a", Limits(per_minute=1))
    await counts.admit([holder], Demand(1_000, "a"))
    (use,) = await counts.admit([holder], Demand(1_000, "b"))
    assert 59 * SECOND < use.wait <= 60 * SECOND
    await counts.wait(holder, 61)
    assert not (await counts.admit([holder], Demand(1_000, "b")))[0].refused
    daily = Holder("address", "b", Limits(per_day=1))
    await counts.admit([daily], Demand(1_000, "a"))
    (use,) = await counts.admit([daily], Demand(1_000, "b"))
    assert 0 < use.wait <= DAY * SECOND


async def test_a_request_that_one_holder_refuses_costs_the_others_nothing(counts: Counts) -> None:
    service = Holder("service", "all", Limits(per_minute=10, per_day=10))
    address = Holder("address", "a", Limits(per_minute=1))
    await counts.admit([service, address], Demand(1_000, "a"))
    for _ in range(20):
        uses = await counts.admit([service, address], Demand(1_000, "b"))
        assert [use.refused for use in uses] == ["", "minute"]
    other = Holder("address", "b", Limits(per_minute=9))
    for turn in range(9):
        uses = await counts.admit([service, other], Demand(1_000, str(turn)))
        assert [use.refused for use in uses] == ["", ""]
    uses = await counts.admit([service, other], Demand(1_000, "last"))
    assert [use.refused for use in uses] == ["day", "minute"]


async def test_a_turn_that_is_not_renewed_stops_counting(redis_url: str) -> None:
    holder = Holder("address", "a", Limits(at_once=1))
    async with redis_client(redis_url, timeout=5) as redis:
        counts = InRedis(redis)
        await counts.admit([holder], Demand(1_000, "a"))
        await counts.wait(holder, 58)
        assert (await counts.admit([holder], Demand(1_000, "b")))[0].refused == "running"
        await counts.wait(holder, 3)
        assert (await counts.admit([holder], Demand(1_000, "b")))[0].refused == ""
        assert await redis.hexists(holder.key, "turn:a") is False


async def test_a_question_whose_reply_was_lost_is_charged_once(redis_url: str) -> None:
    holder = Holder("address", "a", Limits(1, 1, 1))
    async with redis_client(redis_url, timeout=5) as redis:
        counts = RedisCounts(redis)
        for _ in range(2):
            (use,) = await counts.admit([holder], Demand(1_000, "a"))
        assert (use.refused, use.asked, use.running) == ("", 1, 1)


async def test_counts_expire(redis_url: str) -> None:
    minutely = Holder("address", "a", Limits(per_minute=1, at_once=1))
    daily = Holder("address", "b", Limits(per_day=1))
    async with redis_client(redis_url, timeout=5) as redis:
        await RedisCounts(redis).admit([minutely, daily], Demand(1_000, "t"))
        assert 170 < await redis.ttl(minutely.key) <= 180
        assert 170 < await redis.ttl(daily.key) <= DAY + 180


async def test_holders_of_a_cluster_are_charged_together() -> None:
    service = Holder("service", "all", Limits(per_minute=3, per_day=3, at_once=3))
    addresses = [Holder("address", name, Limits(per_minute=1)) for name in "abc"]
    async with cluster() as nodes, redis_client(nodes.url, timeout=5) as redis:
        counts = RedisCounts(redis)
        for n in range(5):
            uses = await counts.admit([service, addresses[0]], Demand(1_000, f"a{n}"))
            assert [use.refused for use in uses] == ["", "minute" if n else ""]
        for address in addresses[1:]:
            uses = await counts.admit([service, address], Demand(1_000, address.name))
            assert [use.refused for use in uses] == ["", ""]
