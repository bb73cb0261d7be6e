"""Admits requests within the limits of their callers, and follows the turns that they start."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from app.errors import TooManyRequests
from app.infra.connection_errors import describe
from app.infra.redis import REDIS_ERRORS, RedisClient
from app.services.access.caller import Caller
from app.services.access.changes import Changes
from app.services.access.counts import Demand, Use
from app.services.access.limits import Holder, HolderKind, Holders
from app.services.access.local_counts import LocalCounts
from app.services.access.redis_counts import RedisCounts
from app.services.access.running_turns import RunningTurns
from app.services.access.standing import Standing, refusal, standings

log = logging.getLogger(__name__)

# Seconds without Redis after it has failed.
RETRY_INTERVAL = 1.0


class Admission(Struct, frozen=True):
    """What is left to the caller, and the error if the request is refused, by which holder."""

    standings: tuple[Standing, ...] = ()
    error: TooManyRequests | None = None
    holder: HolderKind | None = None


class Batch(Protocol):
    """Redis commands that are sent together."""

    def add(self, *command: str | int) -> None:
        """Add a command of one key."""
        ...


class Limiter:
    """Counts in Redis, or in memory while Redis is unavailable; `timeout` is in seconds.

    `write` must be called regularly while turns run.
    """

    def __init__(self, redis: RedisClient, holders: Holders, *, timeout: float) -> None:
        self._holders = holders
        self._timeout = timeout
        self._counts = RedisCounts(redis)
        self._changes = Changes()
        self._turns = RunningTurns(self._changes)
        self._local = LocalCounts()
        self._redis_available = True
        self._retry_at = 0.0

    async def admit(self, caller: Caller, cost: float, turn_id: str = "") -> Admission:
        """Count a request that costs so many questions, and starts a turn if `turn_id` is given.

        `end` must be called for an admitted turn.
        """
        holders = self._holders.of(caller)
        if not holders:
            return Admission()
        demand = Demand(round(cost * 1_000), turn_id)
        uses = await self._count(holders, demand)
        standing = standings(holders, uses)
        for holder, use in zip(holders, uses, strict=True):
            if use.refused:
                return Admission(standing, refusal(holder, use), holder.kind)
        if turn_id:
            self._turns.add(turn_id, holders)
        return Admission(standing)

    def end(self, turn_id: str, *, tokens: int = 0, refund: float = 0) -> None:
        """Count a turn as ended, with its model tokens.

        With a `refund`, in questions, the turn did not run: it is not counted as a question.
        """
        back = Demand(round(refund * 1_000), turn_id) if refund else None
        holders = self._turns.end(turn_id, tokens, back, self._counts.now)
        self._local.end(holders, turn_id, tokens)
        if back:
            self._local.give_back(holders, back)

    def write(self, batch: Batch) -> None:
        """Add the commands that renew running turns and remove those that have ended."""
        self._turns.renew(self._counts.now)
        for command in self._changes.take_all():
            batch.add(*command)

    async def _count(self, holders: Sequence[Holder], demand: Demand) -> list[Use]:
        clock = asyncio.get_running_loop().time
        if clock() < self._retry_at:
            return self._local.admit(holders, demand)
        try:
            async with asyncio.timeout(self._timeout):
                uses = await self._counts.admit(holders, demand, self._changes)
        except REDIS_ERRORS as error:
            if self._redis_available:
                log.warning("limits count per worker, Redis is unavailable: %s", describe(error))
            self._redis_available = False
            # What ends meanwhile expires by itself.
            self._changes.take_all()
            self._retry_at = clock() + RETRY_INTERVAL
            return self._local.admit(holders, demand)
        if not self._redis_available:
            log.info("limits count for all workers again")
            self._redis_available = True
        return uses
