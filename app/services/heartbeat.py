"""Streams come in while they are open; the silent ones get a nudge, the stuck ones their end.

One clock for all streams of a worker, and only while there are any: a time-out and a task for each
stream cost more than all else that is done for it.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from app.services.event_log import Viewer

# The longest time, in seconds, from one look at the streams to the next.
LONGEST_STEP = 0.5
# So many looks at least in the shortest time that is measured by them.
LOOKS = 4


class OpenStream:
    """A viewer's stream. Whoever sends sets `sending` before and after, and `silent` to 0 before.

    `limit` is around the sends: it expires where one of them takes too long.
    """

    __slots__ = ("limit", "sending", "silent", "viewer")

    def __init__(self, viewer: Viewer) -> None:
        self.viewer = viewer
        self.limit = asyncio.timeout(None)
        self.sending = False
        self.silent = 0.0


class Heartbeat:
    """Nudges viewers who had nothing for `every` seconds, and ends sends after `send_timeout`.

    `look` is called with each look at the streams.
    """

    def __init__(self, *, every: float, send_timeout: float, look: Callable[[], None]) -> None:
        self._every = every
        self._send_timeout = send_timeout
        self._look = look
        self._step = min(LONGEST_STEP, every / LOOKS, send_timeout / LOOKS)
        self._streams: set[OpenStream] = set()
        self._timer: asyncio.TimerHandle | None = None

    @contextmanager
    def stream(self, viewer: Viewer) -> Iterator[OpenStream]:
        """Look after a viewer's stream for as long as it is open."""
        stream = OpenStream(viewer)
        self._streams.add(stream)
        if self._timer is None:
            self._wait()
        try:
            yield stream
        finally:
            self._streams.discard(stream)

    def _wait(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._step, self._beat)

    def _beat(self) -> None:
        self._timer = None
        if self._streams:
            # Before all else: whatever goes wrong below, all streams depend on the next beat.
            self._wait()
        for stream in self._streams:
            stream.silent += self._step
            if stream.sending and stream.silent > self._send_timeout:
                # Only once: where the loop was held up, the first may still be under way.
                if stream.limit.when() is None:
                    stream.limit.reschedule(0)
            elif not stream.sending and stream.silent >= self._every:
                stream.viewer.nudge()
        self._look()
