"""Ends a stream that has had no viewers for some time."""

import asyncio
from collections.abc import Callable

from app.services.streams.grace import Grace
from app.services.streams.local import LocalStream

# Seconds for which the last check for viewers on other workers is valid.
MAX_CHECK_AGE = 0.3
# Seconds until the next attempt if that check is too old.
RECHECK_INTERVAL = 0.05


class AbandonmentTimer:
    """Calls `on_abandoned` when a stream has had no viewers on any worker for its grace time."""

    def __init__(self, stream: LocalStream, grace: Grace, on_abandoned: Callable[[], None]) -> None:
        self._stream = stream
        self._grace = grace
        self._on_abandoned = on_abandoned
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        stream.on_watched_changed = self.restart

    def restart(self) -> None:
        """Start counting from zero, unless the stream has viewers here or the timer is closed."""
        self._cancel()
        if self._stream.viewers == 0 and not self._closed:
            self._stream.remote_viewers_checked_at = None
            self._wait(self._grace.of(self._stream))

    def close(self) -> None:
        """Stop counting for good."""
        self._closed = True
        # Breaks a reference cycle, so that the stream's frames are freed immediately.
        self._stream.on_watched_changed = None
        self._cancel()

    def _wait(self, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, self._check)

    def _check(self) -> None:
        watched_until = self._stream.remote_viewers_until
        checked_at = self._stream.remote_viewers_checked_at
        now = asyncio.get_running_loop().time()
        if watched_until > now:
            self._wait(watched_until - now)
        elif checked_at is None or now > checked_at + MAX_CHECK_AGE:
            self._wait(RECHECK_INTERVAL)
        else:
            self._on_abandoned()

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
