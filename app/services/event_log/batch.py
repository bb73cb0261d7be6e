"""Commands come in, with what takes their replies; they go to Redis in one round trip.

Here are the names of all that is kept there, too:

    turn:{T}:log      the log of a turn, as `records` has it
    turn:{T}:watched  there while somebody follows the turn on another worker
    worker:{W}:lease  there while the worker lives: how many ticks it has done
    worker:{W}:stop   the turns of that worker which are to stop

The braces put what belongs together into one slot of a Redis cluster.
"""

from collections.abc import Callable
from typing import Any

from app.redis_client import REDIS_ERRORS, RedisClient


def log_key(turn_id: str) -> str:
    """Name the log of a turn."""
    return f"turn:{{{turn_id}}}:log"


def watched_key(turn_id: str) -> str:
    """Name what tells that a turn is followed on another worker than its own."""
    return f"turn:{{{turn_id}}}:watched"


def lease_key(worker: str) -> str:
    """Name what tells that a worker lives."""
    return f"worker:{{{worker}}}:lease"


def stop_key(worker: str) -> str:
    """Name the set of a worker's turns that are to stop."""
    return f"worker:{{{worker}}}:stop"


class Batch:
    """Commands for one round trip, each with what takes its reply: a value, or an exception."""

    def __init__(self, redis: RedisClient) -> None:
        self._pipeline = redis.pipeline(transaction=False)
        self._takers: list[Callable[[Any], None]] = []

    def add(self, take: Callable[[Any], None], *command: str | bytes | int) -> None:
        """Add a command."""
        self._pipeline.execute_command(*command)
        self._takers.append(take)

    async def execute(self) -> bool:
        """Send all, hand out the replies, and tell whether Redis answered."""
        try:
            replies = await self._pipeline.execute(raise_on_error=False)
        except REDIS_ERRORS as error:
            # Some of it may have been done all the same: nobody can tell.
            replies = [error] * len(self._takers)
        for take, reply in zip(self._takers, replies, strict=True):
            take(reply)
        return not any(isinstance(reply, Exception) for reply in replies)


def ignore(reply: object) -> None:
    """Take a reply that nothing depends on."""
