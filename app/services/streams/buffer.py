"""The frames of one stream in memory, and the viewers that read them."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Self

from app.services.streams.log_format import Header

# A viewer that stops reading holds one item in its connection's buffer, so the size is limited.
MAX_FRAMES_PER_ITEM = 256


class ReconnectElsewhere(Exception):
    """The stream continues, but this worker no longer serves its viewers."""


class StreamBuffer:
    """Frames in order; a frame's index is its number. After `ended` no more are added."""

    def __init__(self, stream_id: str, header: Header) -> None:
        self.stream_id = stream_id
        self.header = header
        self.frames: list[bytes] = []
        self.ended = False
        # Whether the last frame is an error.
        self.failed = False
        self.viewers = 0
        # Called when the first viewer arrives and when the last one leaves.
        self.on_watched_changed: Callable[[], None] | None = None
        self.detached = False
        self._viewers: list[Viewer] = []
        self._waiters: list[asyncio.Future[None]] = []

    def append(self, frame: bytes) -> None:
        """Add a frame that is not the last one."""
        self.frames.append(frame)
        self.wake()

    def extend(self, frames: Sequence[bytes], *, ended: bool = False, failed: bool = False) -> None:
        """Add frames; `failed` says that the last one is an error."""
        self.frames.extend(frames)
        self.ended, self.failed = ended, failed
        self.wake()

    def detach_viewers(self) -> None:
        """Make viewers raise ReconnectElsewhere once they have read all frames here."""
        self.detached = True
        self.wake()

    def follow(self, after: int = -1) -> "Viewer":
        """Return a viewer of the frames after number `after`."""
        return Viewer(self, after)

    def subscribe(self, viewer: "Viewer") -> None:
        """Count a viewer, and wake it when there is more to read."""
        self._viewers.append(viewer)
        self.viewers += 1
        if self.viewers == 1 and self.on_watched_changed:
            self.on_watched_changed()

    def unsubscribe(self, viewer: "Viewer") -> None:
        """Undo `subscribe`."""
        self._viewers.remove(viewer)
        self.viewers -= 1
        if self.viewers == 0 and self.on_watched_changed:
            self.on_watched_changed()

    def wait_for_more(self) -> asyncio.Future[None]:
        """Return a future that the next `wake` completes."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        return waiter

    def wake(self) -> None:
        """Make viewers and waiters check the state of the stream."""
        for viewer in self._viewers:
            viewer.wake()
        while self._waiters:
            waiter = self._waiters.pop()
            if not waiter.done():
                waiter.set_result(None)


class Viewer:
    """Iterates over the frames of a stream; use it within `with`.

    An item is all unread frames joined, or empty as a heartbeat (see `Heartbeat`). Raises
    ReconnectElsewhere.
    """

    __slots__ = ("_loop", "_next", "_stream", "_waiter", "idle", "stalled")

    def __init__(self, stream: StreamBuffer, after: int) -> None:
        # Seconds since the last item, as counted by the heartbeat.
        self.idle = 0.0
        # Whether the reader took too long with an item.
        self.stalled = False
        self._stream = stream
        self._next = after + 1
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[bool] | None = None

    def __enter__(self) -> Self:
        self._stream.subscribe(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.unsubscribe(self)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        """Return the next item as soon as there is one."""
        stream = self._stream
        frames = stream.frames
        while (count := len(frames) - self._next) <= 0:
            if stream.ended:
                self.idle = 0.0
                raise StopAsyncIteration
            if stream.detached:
                raise ReconnectElsewhere
            # `create_future` of uvloop takes 600 instructions more, for each token.
            waiter = self._waiter = asyncio.Future(loop=self._loop)
            if await waiter:
                self.idle = 0.0
                return b""
        self.idle = 0.0
        first = self._next
        if count == 1:
            self._next = first + 1
            return frames[first]
        self._next = first + min(count, MAX_FRAMES_PER_ITEM)
        return b"".join(frames[first : self._next])

    @property
    def waiting(self) -> bool:
        """Whether the reader has read everything and waits for more."""
        return self._waiter is not None and not self._waiter.done()

    def wake(self) -> None:
        """Make a waiting reader check for frames."""
        if (waiter := self._waiter) is not None and not waiter.done():
            waiter.set_result(False)

    def send_heartbeat(self) -> None:
        """Make a waiting reader return an empty item."""
        if (waiter := self._waiter) is not None and not waiter.done():
            waiter.set_result(True)
