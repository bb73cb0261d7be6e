"""Requests are retried within the bounds of a policy."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from app.infra.http.retry import AttemptFailed, RetryPolicy

pytestmark = pytest.mark.anyio


class Waits(list[float]):
    """Records the waits between attempts instead of sleeping."""

    async def sleep(self, seconds: float) -> None:
        self.append(seconds)


def policy(waits: Waits, deadline: float = 60) -> RetryPolicy:
    return RetryPolicy(attempts=3, timeout=10, deadline=deadline, backoff=1, sleep=waits.sleep)


def attempts(*outcomes: float | str | None) -> Callable[[float], Awaitable[str]]:
    """Return attempts that fail with these values of `retry_after`, and succeed with a string."""
    remaining = iter(outcomes)

    async def attempt(until: float) -> str:
        outcome = next(remaining)
        if isinstance(outcome, str):
            return outcome
        raise AttemptFailed("no", outcome)

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


async def test_an_attempt_ends_at_its_timeout_or_at_the_deadline() -> None:
    async def attempt(until: float) -> float:
        return until - asyncio.get_running_loop().time()

    assert 9 < await policy(Waits()).run("request", attempt) <= 10
    assert 5 < await policy(Waits(), deadline=6).run("request", attempt) <= 6
