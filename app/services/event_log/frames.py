"""Frames of one turn come in; whoever follows it gets them in order, from any place.

What a worker knows of a turn lies here, whether it runs the turn itself or reads what another
worker has logged of it.
"""

import asyncio
from collections.abc import Callable, Sequence

from app.services.event_log.records import Header

# Frames that leave in one send: many, for speed, and no more, since a viewer that does not read
# has one send's worth in its connection's buffer.
MOST_AT_ONCE = 256


class SentAway(Exception):
    """A viewer is to leave this worker although its turn goes on: it may follow it elsewhere."""


def _nothing() -> None:
    return None


class Frames:
    """A turn's frames so far; one's place in the list is its number. `ended` says that is all."""

    def __init__(self, turn_id: str, header: Header) -> None:
        self.turn_id = turn_id
        self.header = header
        self.frames: list[bytes] = []
        self.ended = False
        self.failed = False
        self.viewers = 0
        # Called when the first viewer comes, and when the last one has gone.
        self.on_watched: Callable[[], None] = _nothing
        self.on_unwatched: Callable[[], None] = _nothing
        self.cut_off = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiters: list[asyncio.Future[None]] = []

    def append(self, frame: bytes) -> None:
        """Add a frame, which is not the last, and wake whoever follows."""
        self.frames.append(frame)
        if self._waiters:
            self.wake()

    def add(self, frames: Sequence[bytes], *, ended: bool = False, failed: bool = False) -> None:
        """Add frames at the end and wake whoever follows; `failed`: the last one is an error."""
        self.frames.extend(frames)
        self.ended, self.failed = ended, failed
        self.wake()

    def cut(self) -> None:
        """Send all viewers here away, though the turn may go on."""
        self.cut_off = True
        self.wake()

    def follow(self, after: int = -1) -> "Viewer":
        """Begin to follow the frames after number `after`."""
        self.viewers += 1
        if self.viewers == 1:
            self.on_watched()
        return Viewer(self, after)

    def unfollow(self) -> None:
        """Take note that a viewer has left."""
        self.viewers -= 1
        if self.viewers == 0:
            self.on_unwatched()

    def grown(self) -> asyncio.Future[None]:
        """Return what is done at the next `wake`."""
        # An event would look for its loop at each wait, by a system call on Python 3.11.
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        waiter = self._loop.create_future()
        if self._waiters:
            # Those of nudges: nobody else would take them away while the turn is silent.
            self._waiters = [waiting for waiting in self._waiters if not waiting.done()]
        self._waiters.append(waiter)
        return waiter

    def wake(self) -> None:
        """Have whoever waits look again."""
        while self._waiters:
            waiter = self._waiters.pop()
            if not waiter.done():
                waiter.set_result(None)


class Viewer:
    """Follows one turn: gives frames, joined as far as they are there, to the turn's end.

    It raises SentAway. Whoever stops reading before the end has to say that it will `leave`.
    """

    def __init__(self, turn: Frames, after: int) -> None:
        self._turn = turn
        self._next = after + 1
        self._waiter: asyncio.Future[None] | None = None
        self._left = False
        self._nudged = False

    def __aiter__(self) -> "Viewer":
        return self

    async def __anext__(self) -> bytes:
        turn, frames = self._turn, self._turn.frames
        while not self._left:
            at = self._next
            if len(frames) == at + 1:
                self._next += 1
                return frames[at]
            if following := frames[at : at + MOST_AT_ONCE]:
                self._next += len(following)
                return b"".join(following)
            if turn.ended:
                break
            if turn.cut_off:
                self.leave()
                raise SentAway
            if self._nudged:
                self._nudged = False
                return b""
            self._waiter = turn.grown()
            try:
                await self._waiter
            except BaseException:
                self.leave()
                raise
            # What came at the same time as a nudge is answer enough to it.
            self._nudged = self._nudged and len(frames) == self._next
        self.leave()
        raise StopAsyncIteration

    def nudge(self) -> None:
        """Have it give nothing, once, if it waits for frames."""
        if self._waiter is not None and not self._waiter.done():
            self._nudged = True
            self._waiter.set_result(None)

    def leave(self) -> None:
        """Follow no longer; a read that is waiting comes to its end."""
        if not self._left:
            self._left = True
            self._turn.unfollow()
            self.nudge()
