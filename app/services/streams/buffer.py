"""Frames of one turn come in; whoever follows it gets them in order, from any place.

What a worker knows of a turn lies here, whether it runs the turn itself or reads what another
worker has logged of it.
"""

import asyncio
from collections.abc import Callable, Sequence

from app.services.streams.log_format import Header

# Frames that leave in one send: many, for speed, and no more, since a viewer that does not read
# has one send's worth in its connection's buffer.
MAX_AT_ONCE = 256


class ReconnectElsewhere(Exception):
    """A viewer is to leave this worker although its turn goes on: it may follow it elsewhere."""


def _nothing() -> None:
    return None


class StreamBuffer:
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
        self._following: list[Viewer] = []
        self._waiters: list[asyncio.Future[None]] = []

    def append(self, frame: bytes) -> None:
        """Add a frame, which is not the last, and have whoever follows look."""
        self.frames.append(frame)
        if self._following or self._waiters:
            self.wake()

    def add(self, frames: Sequence[bytes], *, ended: bool = False, failed: bool = False) -> None:
        """Add frames at the end; `failed`: the last one is an error."""
        self.frames.extend(frames)
        self.ended, self.failed = ended, failed
        self.wake()

    def cut(self) -> None:
        """Send all viewers here away, though the turn may go on."""
        self.cut_off = True
        self.wake()

    def follow(self, look: Callable[[], None], after: int = -1) -> "Viewer":
        """Follow the frames after number `after`; `look` is called whenever there are more."""
        self.viewers += 1
        viewer = Viewer(self, look, after)
        self._following.append(viewer)
        if self.viewers == 1:
            self.on_watched()
        return viewer

    def unfollow(self, viewer: "Viewer") -> None:
        """Take note that a viewer has left."""
        self.viewers -= 1
        self._following.remove(viewer)
        if self.viewers == 0:
            self.on_unwatched()

    def grown(self) -> asyncio.Future[None]:
        """Return what is done at the next `wake`."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        return waiter

    def wake(self) -> None:
        """Have whoever follows or waits look again."""
        # A copy: one who looks may find that it has to leave.
        for viewer in tuple(self._following):
            viewer.look()
        while self._waiters:
            waiter = self._waiters.pop()
            if not waiter.done():
                waiter.set_result(None)


class Viewer:
    """Follows one turn, from anywhere in it, until it says that it will `leave`."""

    __slots__ = ("_left", "_next", "_turn", "look")

    def __init__(self, turn: StreamBuffer, look: Callable[[], None], after: int) -> None:
        self.look = look
        self._turn = turn
        self._next = after + 1
        self._left = False

    def take(self) -> bytes:
        """Return the frames that are there and were not taken, joined; maybe nothing.

        Raises ReconnectElsewhere where none are left and none will come here.
        """
        frames, at = self._turn.frames, self._next
        left = len(frames) - at
        if left == 1:
            self._next += 1
            return frames[at]
        if left > 1:
            self._next += min(left, MAX_AT_ONCE)
            return b"".join(frames[at : self._next])
        if self._turn.cut_off and not self._turn.ended:
            raise ReconnectElsewhere
        return b""

    @property
    def over(self) -> bool:
        """Whether all was taken, to the turn's end."""
        return self._turn.ended and self._next >= len(self._turn.frames)

    def leave(self) -> None:
        """Follow no longer."""
        if not self._left:
            self._left = True
            # Whoever looks holds this viewer: without it both are gone at once, and not some day.
            self.look = _nothing
            self._turn.unfollow(self)
