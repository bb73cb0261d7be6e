"""Retry a request: bounded attempts, exponential backoff with jitter, Retry-After, a deadline."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from email.utils import parsedate_to_datetime
from time import time
from typing import TypeVar

from msgspec import Struct

log = logging.getLogger(__name__)

T = TypeVar("T")

# Seconds that the backoff does not exceed.
MAX_BACKOFF = 5.0


class AttemptFailed(Exception):
    """One attempt failed; the message says why, without secrets.

    `retry_after` is the minimum number of seconds before the next attempt, None if a retry cannot
    help. `busy` means that the server has not taken the request, for instance because it starts.
    """

    def __init__(
        self, reason: str, retry_after: float | None = None, *, busy: bool = False
    ) -> None:
        super().__init__(reason)
        self.retry_after = retry_after
        self.busy = busy


class RetryPolicy(Struct, frozen=True, kw_only=True):
    """How often and for how long a request is attempted; times in seconds.

    `attempts` counts those that the server may have taken; those at a busy server are free.
    `timeout` bounds one attempt, and none begins `deadline` after the first. `backoff` is the wait
    before the second attempt, doubled for each further one up to MAX_BACKOFF.
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
        number, counted, elapsed, backoff = 1, 0, 0.0, self.backoff
        while True:
            began = now()
            try:
                return await attempt(began + self.timeout)
            except AttemptFailed as failure:
                counted += not failure.busy
                # The jitter keeps clients that failed together from coming back together.
                wait = max(backoff * random.uniform(0.5, 1), failure.retry_after or 0)  # noqa: S311
                elapsed += now() - began + wait
                last = counted >= self.attempts or elapsed >= self.deadline
                if failure.retry_after is None or last:
                    log.warning("%s failed: %s", name, failure)
                    raise
                number += 1
                log.warning(
                    "%s failed, retrying in %.1f s (attempt %d): %s", name, wait, number, failure
                )
            await self.sleep(wait)
            backoff = min(2 * backoff, MAX_BACKOFF)
            if on_retry is not None:
                on_retry()


def is_temporary(status: int) -> bool:
    """Whether the same request may succeed later."""
    return status in (408, 409, 425, 429) or status >= 500


def is_busy(status: int) -> bool:
    """Whether the server has not taken the request."""
    return status in (429, 503, 529)


def parse_retry_after(headers: Mapping[str, str]) -> float:
    """Return the seconds from now that Retry-After-Ms or Retry-After asks for; 0 if invalid.

    `headers` are by lower-case name. Retry-After is in seconds or an HTTP date.
    """
    with suppress(ValueError):
        return max(0.0, float(headers.get("retry-after-ms", "")) / 1_000)
    value = headers.get("retry-after", "")
    with suppress(ValueError):
        # Some servers write the unit.
        return max(0.0, float(value.removesuffix("s")))
    with suppress(ValueError, OverflowError):
        return max(0.0, parsedate_to_datetime(value).timestamp() - time())
    return 0.0
