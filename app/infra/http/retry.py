"""Retry a request: bounded attempts, exponential backoff with jitter, Retry-After, a deadline."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from email.utils import parsedate_to_datetime
from time import time
from typing import TypeVar

from msgspec import Struct

log = logging.getLogger(__name__)

T = TypeVar("T")


class AttemptFailed(Exception):
    """One attempt failed; the message says why, without secrets.

    `retry_after` is the minimum number of seconds before the next attempt, None if a retry cannot
    help.
    """

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class RetryPolicy(Struct, frozen=True, kw_only=True):
    """How often and for how long a request is attempted; times in seconds.

    `timeout` bounds one attempt, `deadline` all of them with the waits in between. `backoff` is the
    wait before the second attempt, doubled for each further one.
    """

    attempts: int
    timeout: float
    deadline: float
    backoff: float
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep

    async def run(
        self,
        name: str,
        attempt: Callable[[float], Awaitable[T]],
        on_retry: Callable[[], object] | None = None,
    ) -> T:
        """Call `attempt` with its deadline until it succeeds, and return its result.

        The deadline is in the time of the running event loop. `name` is for the log, `on_retry` is
        called before each further attempt. Raises the last AttemptFailed.
        """
        now = asyncio.get_running_loop().time
        deadline = now() + self.deadline
        number = 1
        while True:
            try:
                return await attempt(min(now() + self.timeout, deadline))
            except AttemptFailed as failure:
                # The jitter keeps clients that failed together from coming back together.
                wait = self.backoff * 2 ** (number - 1) * random.uniform(0.5, 1)  # noqa: S311
                wait = max(wait, failure.retry_after or 0)
                last = number >= self.attempts or now() + wait >= deadline
                if failure.retry_after is None or last:
                    log.warning("%s failed: %s", name, failure)
                    raise
                number += 1
                log.warning(
                    "%s failed, retrying (attempt %d of %d): %s",
                    name,
                    number,
                    self.attempts,
                    failure,
                )
            await self.sleep(wait)
            if on_retry is not None:
                on_retry()


def is_temporary(status: int) -> bool:
    """Whether the same request may succeed later."""
    return status in (408, 429) or status >= 500


def parse_retry_after(value: str) -> float:
    """Parse a Retry-After header, seconds or an HTTP date, as seconds from now; 0 if invalid."""
    with suppress(ValueError):
        return max(0.0, float(value))
    with suppress(ValueError, OverflowError):
        return max(0.0, parsedate_to_datetime(value).timestamp() - time())
    return 0.0
