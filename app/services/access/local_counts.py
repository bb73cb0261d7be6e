"""Counts of one worker in memory, for the time that Redis is unavailable."""

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

from app.services.access.counts import (
    DAY,
    OTHER_ROOM,
    ROOM,
    SECOND,
    Demand,
    Policy,
    Use,
    price,
    refused,
)
from app.services.access.limits import Holder, Limits

# Holders that are remembered; the least recently used ones are forgotten.
MAX_HOLDERS = 10_000


class _Counts:
    def __init__(self) -> None:
        self.full_at = self.day = self.asked = self.tokens = 0
        self.turns: set[str] = set()

    def start_day(self, day: int) -> None:
        if day != self.day:
            self.day, self.asked, self.tokens = day, 0, 0

    def use(self, limits: Limits, demand: Demand, now: int) -> Use:
        """Return the use before a request."""
        full_in = max(self.full_at - now, 0)
        reason: Policy | None = None
        wait = 0
        room = ROOM if demand.turn_id else OTHER_ROOM
        over = full_in + price(demand.cost, limits.per_minute) - room
        if limits.per_minute and over > 0:
            reason, wait = "minute", over
        if demand.turn_id:
            to_midnight = (DAY - now // SECOND % DAY) * SECOND
            if limits.at_once and len(self.turns) >= limits.at_once:
                reason, wait = "running", 0
            if limits.tokens_per_day and self.tokens >= limits.tokens_per_day:
                reason, wait = "tokens", to_midnight
            if limits.per_day and self.asked >= limits.per_day:
                reason, wait = "day", to_midnight
        return Use(reason or "", wait, full_in, self.asked, self.tokens, len(self.turns))

    def charge(self, limits: Limits, demand: Demand, now: int) -> Use:
        """Count a request and return the use after it."""
        self.full_at = max(self.full_at, now) + price(demand.cost, limits.per_minute)
        if demand.turn_id:
            self.asked += 1
            if limits.at_once:
                self.turns.add(demand.turn_id)
        return Use("", 0, self.full_at - now, self.asked, self.tokens, len(self.turns))


class LocalCounts:
    """Counts in memory; `clock` returns the Unix time in seconds."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._counts: OrderedDict[str, _Counts] = OrderedDict()

    def admit(self, holders: Sequence[Holder], demand: Demand) -> list[Use]:
        """Charge a request to all holders if none refuses."""
        now = int(self._clock() * SECOND)
        counts = [self._find(holder, now) for holder in holders]
        pairs = list(zip(counts, holders, strict=True))
        uses = [it.use(holder.limits, demand, now) for it, holder in pairs]
        if refused(uses):
            return uses
        return [it.charge(holder.limits, demand, now) for it, holder in pairs]

    def give_back(self, holders: Sequence[Holder], demand: Demand) -> None:
        """Undo a charge."""
        for holder in holders:
            if counts := self._counts.get(holder.key):
                counts.full_at -= price(demand.cost, holder.limits.per_minute)
                counts.asked -= bool(demand.turn_id)

    def end(self, holders: Sequence[Holder], turn_id: str, tokens: int) -> None:
        """Count a turn as ended, with its model tokens."""
        for holder in holders:
            if counts := self._counts.get(holder.key):
                counts.turns.discard(turn_id)
                counts.tokens += tokens

    def _find(self, holder: Holder, now: int) -> _Counts:
        counts = self._counts.setdefault(holder.key, _Counts())
        counts.start_day(now // SECOND // DAY)
        self._counts.move_to_end(holder.key)
        if len(self._counts) > MAX_HOLDERS:
            self._counts.popitem(last=False)
        return counts
