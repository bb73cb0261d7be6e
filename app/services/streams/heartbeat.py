"""Heartbeats for viewers that wait, and a timeout for readers that stall.

One timer serves all viewers of a worker, and runs only while there are any: a timer and a timeout
of its own for each viewer would cost more than everything else that is done for it.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from app.services.streams.buffer import Viewer

# The longest time between two checks, in seconds.
MAX_INTERVAL = 0.5
# Checks within the shortest time that they measure.
MIN_CHECKS = 4


class Heartbeat:
    """Makes viewers that waited for `every` seconds return an empty item.

    Cancels readers that take longer than `stall_timeout` seconds with an item. `on_check` is called
    at each check.
    """

    def __init__(self, *, every: float, stall_timeout: float, on_check: Callable[[], None]) -> None:
        self._every = every
        self._stall_timeout = stall_timeout
        self._on_check = on_check
        self._interval = min(MAX_INTERVAL, every / MIN_CHECKS, stall_timeout / MIN_CHECKS)
        self._readers: dict[Viewer, asyncio.Task[None]] = {}
        self._timer: asyncio.TimerHandle | None = None

    @contextmanager
    def watch(self, viewer: Viewer, reader: asyncio.Task[None]) -> Iterator[None]:
        """Check a viewer within the block; `reader` is the task that iterates over it.

        Sets `viewer.stalled` before it cancels the reader.
        """
        self._readers[viewer] = reader
        if self._timer is None:
            self._start_timer()
        try:
            yield
        finally:
            del self._readers[viewer]

    def _start_timer(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._interval, self._check)

    def _check(self) -> None:
        self._timer = None
        if self._readers:
            # First: if this check fails, the next one must still happen.
            self._start_timer()
        for viewer, reader in self._readers.items():
            viewer.idle += self._interval
            if viewer.waiting:
                if viewer.idle >= self._every:
                    viewer.beat()
            elif viewer.idle > self._stall_timeout:
                viewer.stalled = True
                reader.cancel()
        self._on_check()
