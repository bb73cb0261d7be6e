"""Requests are retried within the bounds of a policy."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from email.utils import formatdate
from time import time

import pytest
from msgspec.structs import replace

from app.infra.http.retry import MAX_BACKOFF, AttemptFailed, RetryPolicy, parse_retry_after

pytestmark = pytest.mark.anyio


class Waits(list[float]):
    """Records the waits between attempts instead of sleeping."""

    async def sleep(self, seconds: float) -> None:
        self.append(seconds)


def policy(waits: Waits, deadline: float = 60) -> RetryPolicy:
    return RetryPolicy(attempts=3, timeout=10, deadline=deadline, backoff=1, sleep=waits.sleep)


BUSY = AttemptFailed("busy", 0, busy=True)


def attempts(*outcomes: float | str | AttemptFailed | None) -> Callable[[float], Awaitable[str]]:
    """Return attempts that fail with these values of `retry_after`, and succeed with a string."""
    remaining = iter(outcomes)

    async def attempt(until: float) -> str:
        outcome = next(remaining)
        if isinstance(outcome, str):
            return outcome
        raise outcome if isinstance(outcome, AttemptFailed) else AttemptFailed("no", outcome)

    return attempt


async def test_a_failed_attempt_is_retried_with_growing_waits() -> None:
    waits, retries = Waits(), list[None]()
    result = await policy(waits).run("request", attempts(0, 0, "yes"), lambda: retries.append(None))
    assert (result, len(retries)) == ("yes", 2)
    assert 0.5 <= waits[0] <= 1 <= waits[1] <= 2


async def test_the_number_of_attempts_is_bounded() -> None:
    waits = Waits()
    with pytest.raises(AttemptFailed):
        await policy(waits).run("request", attempts(0, 0, 0, "never"))
    assert len(waits) == 2


async def test_a_permanent_failure_is_raised_at_once() -> None:
    waits = Waits()
    with pytest.raises(AttemptFailed):
        await policy(waits).run("request", attempts(None, "never"))
    assert waits == []


async def test_retry_after_is_the_least_wait() -> None:
    waits = Waits()
    assert await policy(waits).run("request", attempts(7, "yes")) == "yes"
    assert waits == [7]


async def test_a_wait_beyond_the_deadline_is_not_started() -> None:
    waits = Waits()
    with pytest.raises(AttemptFailed):
        await policy(waits, deadline=6).run("request", attempts(7, "never"))
    assert waits == []


async def test_attempts_at_a_busy_server_are_not_counted() -> None:
    waits = Waits()
    result = await policy(waits).run("request", attempts(*[BUSY] * 6, 0, 0, "yes"))
    assert (result, len(waits)) == ("yes", 8)


async def test_attempts_at_a_busy_server_are_spread_until_the_deadline() -> None:
    waits = Waits()
    with pytest.raises(AttemptFailed, match="busy"):
        await policy(waits).run("request", attempts(*[BUSY] * 100))
    assert 60 - MAX_BACKOFF < sum(waits) < 60
    assert 10 < len(waits) < 30


async def test_the_time_of_attempts_counts_towards_the_deadline() -> None:
    waits = Waits()

    async def attempt(until: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                await asyncio.Event().wait()
        raise AttemptFailed("slow", 0)

    # Without a backoff, only the attempts take time.
    quick = replace(policy(waits), timeout=0.01, deadline=0.01, backoff=0)
    with pytest.raises(AttemptFailed):
        await quick.run("request", attempt)
    assert waits == []


async def test_each_attempt_has_the_whole_timeout() -> None:
    left: list[float] = []

    async def attempt(until: float) -> None:
        left.append(until - asyncio.get_running_loop().time())
        raise BUSY

    with pytest.raises(AttemptFailed):
        await policy(Waits(), deadline=6).run("request", attempt)
    assert len(left) > 1
    assert all(9 < seconds <= 10 for seconds in left)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "3"}, 3),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": formatdate(time() + 1_000, usegmt=True)}, 1_000),
        ({"retry-after": formatdate(time() - 1_000, usegmt=True)}, 0),
        ({"retry-after-ms": "250", "retry-after": "3"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "3"}, 3),
        ({"retry-after": "0.5s"}, 0.5),
        *(({"retry-after": value}, 0) for value in ("-1", "nan", "soon", "1 Foo 1")),
        ({}, 0),
    ],
)
def test_retry_after_is_parsed_in_every_form(headers: dict[str, str], seconds: float) -> None:
    # The tests may start long after the dates were written.
    assert parse_retry_after(headers) == pytest.approx(seconds, abs=600 if seconds == 1_000 else 0)
