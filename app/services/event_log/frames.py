"""Frames of one turn come in; whoever follows it gets them in order, from any place.

What a worker knows of a turn lies here, whether it runs the turn itself or reads what another
worker has logged of it.
"""

from collections.abc import AsyncIterator, Callable, Sequence

import anyio

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
        self.grown = anyio.Event()
        self._cut = False

    def add(self, frames: Sequence[bytes], *, ended: bool = False, failed: bool = False) -> None:
        """Add frames at the end and wake whoever follows; `failed`: the last one is an error."""
        self.frames.extend(frames)
        self.ended, self.failed = ended, failed
        self.wake()

    def cut(self) -> None:
        """Send all viewers here away, though the turn may go on."""
        self._cut = True
        self.wake()

    async def follow(self, after: int = -1) -> AsyncIterator[bytes]:
        """Give the frames after number `after`, joined as far as they are there, to the end.

        Raises SentAway.
        """
        following = after + 1
        self.viewers += 1
        if self.viewers == 1:
            self.on_watched()
        try:
            while True:
                waiting = self.frames[following : following + MOST_AT_ONCE]
                if waiting:
                    following += len(waiting)
                    yield b"".join(waiting)
                elif self.ended:
                    return
                elif self._cut:
                    raise SentAway
                else:
                    await self.grown.wait()
        finally:
            self.viewers -= 1
            if self.viewers == 0:
                self.on_unwatched()

    def wake(self) -> None:
        """Have whoever waits for `grown` look again."""
        self.grown.set()
        self.grown = anyio.Event()
