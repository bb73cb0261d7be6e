"""A turn's frames come in; they leave as a stream of server-sent events, with heartbeats.

This is sse-starlette's response without its time-out and its line for the debug log at each send
(34,000 instructions a token) and its four tasks a stream (720,000, and 22 KiB): see
docs/performance.md. `Heartbeat` has one clock for all streams in their place.
"""

import asyncio
from collections.abc import AsyncIterator, Generator
from typing import Any

from sse_starlette import EventSourceResponse
from sse_starlette.sse import SendTimeoutError
from starlette.types import Message, Receive, Scope, Send

from app.services.streams import StreamBuffer
from app.services.streams.heartbeat import Heartbeat

# Where a middleware leaves the `send` that it was given, for what comes after the start: the ones
# within, which look at nothing else, take some 5,000 instructions a token.
STRAIGHT = "chrysopedia.send"
PING = b": ping\n\n"
_END = {"type": "http.response.body", "body": b"", "more_body": False}
_DONE = object()


class TurnStream(EventSourceResponse):
    """The reply that sends a turn's frames after number `after` as they come."""

    def __init__(self, turn: StreamBuffer, after: int, heartbeat: Heartbeat) -> None:
        headers = {"X-Conversation-Id": turn.header.conversation_id, "X-Turn-Id": turn.turn_id}
        super().__init__(_nothing(), headers=headers, sep="\n")
        self._turn = turn
        self._after = after
        self._heartbeat = heartbeat

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send all until the turn's end, or until the viewer hangs up.

        Raises SendTimeoutError where the viewer does not read, and ReconnectElsewhere.
        """
        await send(
            {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        )
        # They have left, and the stream may stay for minutes.
        self.raw_headers = []
        if scope["method"] == "HEAD":
            await send(_END)
        else:
            await self._send_frames(receive, scope.get(STRAIGHT, send))

    async def _send_frames(self, receive: Receive, send: Send) -> None:
        sender = _Sender(self._turn, self._after, send)
        try:
            with self._heartbeat.watching(sender):
                async with sender.broken:
                    sender.look()
                    # The server tells of a hang-up, and of the end when it is sent.
                    while (await receive())["type"] != "http.disconnect":
                        pass
        except TimeoutError:
            raise sender.error from None
        finally:
            sender.leave()


class _Sender:
    """Sends a viewer its turn's frames: at once, in the very call that brings them.

    To wake a task for each would take 8,000 instructions more. Only a send that cannot be finished
    at once, since the viewer reads too slowly, becomes a task. `broken` is a time-out that expires
    where there is no more to be done, with the `error` that tells why.
    """

    __slots__ = ("_closed", "_left", "_send", "_unfinished", "_viewer", "broken", "error", "silent")

    def __init__(self, turn: StreamBuffer, after: int, send: Send) -> None:
        self.silent = 0.0
        self.broken = asyncio.timeout(None)
        self.error: Exception = SendTimeoutError()
        self._send = send
        self._unfinished: asyncio.Task[None] | None = None
        # Whether the end was sent, or nothing more is to be; and whether the viewer has left.
        self._closed = self._left = False
        self._viewer = turn.follow(self.look, after)

    @property
    def sending(self) -> bool:
        """Whether a send is under way."""
        return self._unfinished is not None

    def look(self) -> None:
        """Send what there is; where a send is under way, that will look."""
        try:
            while self._unfinished is None and not self._closed:
                if frames := self._viewer.take():
                    self._put({"type": "http.response.body", "body": frames, "more_body": True})
                elif self._viewer.over:
                    self._closed = True
                    self._put(_END)
                else:
                    break
        except Exception as error:
            self._break(error)

    def ping(self) -> None:
        """Send a heartbeat."""
        if not self._closed:
            try:
                self._put({"type": "http.response.body", "body": PING, "more_body": True})
            except Exception as error:
                self._break(error)

    def give_up(self) -> None:
        """End a send that takes too long."""
        self._break(SendTimeoutError())

    def leave(self) -> None:
        """Send no more."""
        self._left = self._closed = True
        self._viewer.leave()
        if self._unfinished is not None:
            self._unfinished.cancel()

    def _put(self, message: Message) -> None:
        # Whichever task is at work here is another's: `send` must use no time-out or cancel scope,
        # which would be that one's. That of a server waits for its buffer alone.
        self.silent = 0.0
        steps = self._send(message).__await__()
        waits_for = next(steps, _DONE)
        if waits_for is not _DONE:
            self._unfinished = asyncio.create_task(_finish(steps, waits_for))
            self._unfinished.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._unfinished = None
        error = None if task.cancelled() else task.exception()
        if isinstance(error, Exception):
            self._break(error)
        else:
            self.look()

    def _break(self, error: Exception) -> None:
        if not self._left:
            self.leave()
            self.error = error
            self.broken.reschedule(0)


class _Rest:
    """Awaits what has begun to be awaited, and waits for something now."""

    def __init__(self, steps: Generator[Any, Any, None], waits_for: object) -> None:
        self._steps, self._waits_for = steps, waits_for

    def __await__(self) -> Generator[Any, Any, None]:
        try:
            yield self._waits_for
            yield from self._steps
        finally:
            self._steps.close()


async def _finish(steps: Generator[Any, Any, None], waits_for: object) -> None:
    await _Rest(steps, waits_for)


async def _nothing() -> AsyncIterator[bytes]:
    """Stand in for the content that the response would send by itself."""
    return
    yield b""
