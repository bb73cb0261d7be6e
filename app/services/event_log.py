"""The frames of turns come in; anyone may read a turn from any place, while it runs and after.

`LocalEventLog` keeps them in this process. A frame's place in its turn is its number, from 0.
"""

from collections.abc import AsyncIterator, Sequence

import anyio
from msgspec import Struct

from app.errors import NotFound


class Extent(Struct, frozen=True):
    """A turn's conversation, how many frames its log has, and whether that is all."""

    conversation_id: str
    frames: int
    ended: bool


class _Entry:
    def __init__(self, conversation_id: str) -> None:
        self.conversation_id = conversation_id
        self.frames: list[bytes] = []
        self.ended = False
        self.grown = anyio.Event()


class LocalEventLog:
    """Turns and their frames, in memory. All but `open` raise NotFound for an unknown turn."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}

    def open(self, turn_id: str, conversation_id: str) -> None:
        """Begin the log of a new turn."""
        self._entries[turn_id] = _Entry(conversation_id)

    def append(self, turn_id: str, frames: Sequence[bytes], *, last: bool = False) -> None:
        """Add frames at the end and wake whoever follows; `last` ends the turn's log."""
        entry = self._entry(turn_id)
        entry.frames.extend(frames)
        entry.ended = last
        entry.grown.set()
        entry.grown = anyio.Event()

    def extent(self, turn_id: str) -> Extent:
        """Tell how far a turn has come."""
        entry = self._entry(turn_id)
        return Extent(entry.conversation_id, len(entry.frames), entry.ended)

    def follow(self, turn_id: str, after: int = -1) -> AsyncIterator[bytes]:
        """Give the frames after number `after`, joined as far as they are there, to the end."""
        # Found at once, not at the first step: by then a reply may have begun.
        return _follow(self._entry(turn_id), after + 1)

    def drop(self, turn_id: str) -> None:
        """Forget a turn; whoever still follows it reads to the end."""
        self._entries.pop(turn_id, None)

    def _entry(self, turn_id: str) -> _Entry:
        entry = self._entries.get(turn_id)
        if entry is None:
            raise NotFound("There is no such stream, or it is no longer kept. Ask again.")
        return entry


async def _follow(entry: _Entry, following: int) -> AsyncIterator[bytes]:
    while True:
        waiting = entry.frames[following:]
        if waiting:
            following += len(waiting)
            yield b"".join(waiting)
        elif entry.ended:
            return
        else:
            await entry.grown.wait()
