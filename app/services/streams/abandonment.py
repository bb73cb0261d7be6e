"""Viewers of a turn come and go; when none has watched it for the grace time, it is ended."""

import asyncio
from collections.abc import Callable

from app.services.streams import LocalStream

# Seconds for which it counts that a tick has seen no viewers elsewhere; and until the next look
# where that is too long ago, or never was.
FRESH, LOOK = 0.3, 0.05


class AbandonmentTimer:
    """Calls `end` when for `seconds` nobody has watched a turn, here or on another worker."""

    def __init__(self, turn: LocalStream, seconds: float, end: Callable[[], None]) -> None:
        self._turn = turn
        self._seconds = seconds
        self._end = end
        self._timer: asyncio.TimerHandle | None = None
        self._over = False
        turn.on_watched = self._cancel
        turn.on_unwatched = self.begin

    def begin(self) -> None:
        """Begin to count, unless somebody watches here or the turn is over."""
        if self._turn.viewers == 0 and not self._over:
            self._turn.looked_at = None
            self._wait(self._seconds)

    def close(self) -> None:
        """Count no more: the turn is over."""
        self._over = True
        self._cancel()

    def _wait(self, seconds: float) -> None:
        self._cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._look)

    def _look(self) -> None:
        until, looked_at = self._turn.watched_until, self._turn.looked_at
        now = asyncio.get_running_loop().time()
        if until > now:
            self._wait(until - now)
        elif looked_at is None or now > looked_at + FRESH:
            self._wait(LOOK)
        else:
            self._end()

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
