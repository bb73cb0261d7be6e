"""Heartbeats for waiting viewers, and a timeout for stalled readers.

One timer serves all viewers of a worker, and runs only while there are any: a timer and a timeout
per viewer would cost more than all other work for it.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from app.services.streams.buffer import Viewer

# The longest time between two checks, in seconds.
MAX_INTERVAL = 0.5
# The minimum number of checks within either time limit.
MIN_CHECKS = 4


class Heartbeat:
    """Makes viewers that have waited for `every` seconds return an empty item.

    Cancels readers that take longer than `stall_timeout` seconds to process an item. `on_check` is
    called at each check.
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
            # Before the check, so that an error in it does not end all checks.
            self._start_timer()
        for viewer, reader in self._readers.items():
            viewer.idle += self._interval
            if viewer.waiting:
                if viewer.idle >= self._every:
                    viewer.send_heartbeat()
            elif viewer.idle > self._stall_timeout:
                viewer.stalled = True
                reader.cancel()
        self._on_check()
