"""The turns that this worker runs, as they are counted in Redis for their holders."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

from msgspec import Struct

from app.services.access.counts import DAY, SECOND, TURN_EXPIRY, Demand, lifetime
from app.services.access.limits import Holder
from app.services.access.redis_counts import RedisCounts, giving_back, turn_field

# Seconds between two renewals of a running turn.
RENEWAL_INTERVAL = 20.0


class Commands(Protocol):
    """Redis commands that are sent together."""

    def add(self, *command: str | int, on_reply: Callable[[Any], None] | None = None) -> None:
        """Add a command of one key."""
        ...


class _Turn(Struct):
    holders: Sequence[Holder]
    renew_at: float


class RunningTurns:
    """Renews turns in Redis while they run, so that those of a dead worker stop counting."""

    def __init__(self, counts: RedisCounts, clock: Callable[[], float] = time.monotonic) -> None:
        self._counts = counts
        self._clock = clock
        # In the order of their next renewal.
        self._turns: dict[str, _Turn] = {}
        # Turns that have ended and that Redis has not removed yet, by holder, with the time when
        # they expire by themselves.
        self._ended: dict[str, dict[str, float]] = {}
        self._commands: list[tuple[str | int, ...]] = []

    def add(self, turn_id: str, holders: Sequence[Holder]) -> None:
        """Keep a turn counted until it ends."""
        self._turns[turn_id] = _Turn(holders, self._clock() + RENEWAL_INTERVAL)

    def end(self, turn_id: str, tokens: int, back: Demand | None) -> Sequence[Holder]:
        """Count a turn as ended, with its model tokens, and undo the charge `back`.

        Returns its holders; there are none for an unknown turn.
        """
        turn = self._turns.pop(turn_id, None)
        if turn is None:
            return ()
        now = self._counts.now
        for holder in turn.holders:
            if holder.limits.at_once:
                expires_at = self._clock() + TURN_EXPIRY
                self._ended.setdefault(holder.key, {})[turn_id] = expires_at
            if back:
                self._commands += giving_back(holder, back, now)
            if holder.limits.tokens_per_day and tokens:
                field = f"tokens:{int(now) // DAY}"
                self._commands.append(("HINCRBY", holder.key, field, tokens))
                self._commands.append(("EXPIRE", holder.key, lifetime(holder.limits, now)))
        return turn.holders

    def ended(self, holders: Sequence[Holder]) -> set[str]:
        """Return the turns of holders that have ended and may still be counted in Redis."""
        return {turn_id for holder in holders for turn_id in self._ended.get(holder.key, ())}

    def write(self, commands: Commands) -> None:
        """Add the commands that renew running turns and remove those that have ended."""
        now = self._clock()
        for command in self._commands:
            commands.add(*command)
        self._commands.clear()
        for key, turns in list(self._ended.items()):
            for turn_id, expires_at in list(turns.items()):
                if now > expires_at:
                    self._forget(key, turn_id)
                else:
                    removed = partial(self._on_removed, key, turn_id)
                    commands.add("HDEL", key, turn_field(turn_id), on_reply=removed)
        for turn_id, turn in list(self._turns.items()):
            if turn.renew_at > now:
                break
            self._turns[turn_id] = self._turns.pop(turn_id)
            turn.renew_at = now + RENEWAL_INTERVAL
            self._renew(commands, turn_id, turn)

    def _renew(self, commands: Commands, turn_id: str, turn: _Turn) -> None:
        now = self._counts.now
        for holder in turn.holders:
            if holder.limits.at_once:
                expires_at = round((now + TURN_EXPIRY) * SECOND)
                commands.add("HSET", holder.key, turn_field(turn_id), expires_at)
                commands.add("EXPIRE", holder.key, lifetime(holder.limits, now))

    def _on_removed(self, key: str, turn_id: str, reply: object) -> None:
        if not isinstance(reply, Exception):
            self._forget(key, turn_id)

    def _forget(self, key: str, turn_id: str) -> None:
        turns = self._ended.get(key, {})
        turns.pop(turn_id, None)
        if not turns:
            self._ended.pop(key, None)
