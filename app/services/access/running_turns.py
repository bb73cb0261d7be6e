"""The turns that this worker runs, as they are counted in Redis for their holders."""

import time
from collections.abc import Callable, Sequence

from msgspec import Struct

from app.services.access.changes import Changes
from app.services.access.counts import DAY, SECOND, TURN_EXPIRY, Demand, lifetime
from app.services.access.limits import Holder
from app.services.access.redis_counts import giving_back, turn_field

# Seconds between two renewals of a running turn.
RENEWAL_INTERVAL = 20.0


class _Turn(Struct):
    holders: Sequence[Holder]
    renew_at: float


class RunningTurns:
    """Adds `changes` for turns: they are renewed while they run, and removed when they end.

    So the turns of a dead worker stop counting. `clock` returns seconds.
    """

    def __init__(self, changes: Changes, clock: Callable[[], float] = time.monotonic) -> None:
        self._changes = changes
        self._clock = clock
        # In the order of their next renewal.
        self._turns: dict[str, _Turn] = {}

    def add(self, turn_id: str, holders: Sequence[Holder]) -> None:
        """Keep a turn counted until it ends."""
        self._turns[turn_id] = _Turn(holders, self._clock() + RENEWAL_INTERVAL)

    def end(self, turn_id: str, tokens: int, back: Demand | None, now: float) -> Sequence[Holder]:
        """Count a turn as ended, with its model tokens, and undo the charge `back`.

        Returns its holders; there are none for an unknown turn. `now` is the server's time.
        """
        turn = self._turns.pop(turn_id, None)
        if turn is None:
            return ()
        for holder in turn.holders:
            key = holder.key
            if back:
                self._changes.add(key, *giving_back(holder, back, now))
            elif holder.limits.at_once:
                self._changes.add(key, ("HDEL", key, turn_field(turn_id)))
            if holder.limits.tokens_per_day and tokens:
                counted = ("HINCRBY", key, f"tokens:{int(now) // DAY}", tokens)
                self._changes.add(key, counted, ("EXPIRE", key, lifetime(holder.limits, now)))
        return turn.holders

    def renew(self, now: float) -> None:
        """Renew the turns for which it is time; `now` is the server's time."""
        due = self._clock()
        expiry = round((now + TURN_EXPIRY) * SECOND)
        for turn_id, turn in list(self._turns.items()):
            if turn.renew_at > due:
                break
            turn.renew_at = due + RENEWAL_INTERVAL
            self._turns[turn_id] = self._turns.pop(turn_id)
            for holder in turn.holders:
                if holder.limits.at_once:
                    key = holder.key
                    renewed = ("HSET", key, turn_field(turn_id), expiry)
                    self._changes.add(key, renewed, ("EXPIRE", key, lifetime(holder.limits, now)))
