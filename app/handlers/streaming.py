"""A turn's frames come in; they leave as a stream of server-sent events, with heartbeats.

This is sse-starlette's response without its time-out and its line for the debug log at each send
(34,000 instructions a token) and its four tasks a stream (720,000, and 22 KiB): see
docs/performance.md. `Heartbeat` has one clock for all streams in their place.
"""

import asyncio
from collections.abc import AsyncIterator

from sse_starlette import EventSourceResponse
from sse_starlette.sse import SendTimeoutError
from starlette.types import Receive, Scope, Send

from app.services.event_log import Frames, Viewer
from app.services.heartbeat import Heartbeat

# Where a middleware leaves the `send` that it was given, for what comes after the start: the ones
# within, which look at nothing else, take some 5,000 instructions a token.
STRAIGHT = "chrysopedia.send"
PING = b": ping\n\n"
_END = {"type": "http.response.body", "body": b"", "more_body": False}


class TurnStream(EventSourceResponse):
    """The reply that sends a turn's frames after number `after` as they come."""

    def __init__(self, turn: Frames, after: int, heartbeat: Heartbeat) -> None:
        headers = {"X-Conversation-Id": turn.header.conversation_id, "X-Turn-Id": turn.turn_id}
        super().__init__(_nothing(), headers=headers, sep="\n")
        self._turn = turn
        self._after = after
        self._heartbeat = heartbeat

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send all until the turn's end, or until the viewer hangs up.

        Raises SendTimeoutError where the viewer does not read, and SentAway.
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
        viewer = self._turn.follow(self._after)
        hang_up = asyncio.create_task(_hang_up(receive, viewer))
        try:
            with self._heartbeat.stream(viewer) as stream:
                async with stream.limit:
                    async for frames in viewer:
                        stream.sending, stream.silent = True, 0.0
                        body = frames or PING
                        await send({"type": "http.response.body", "body": body, "more_body": True})
                        stream.sending = False
                    # It waits until what went before has been read, as any other does.
                    stream.sending, stream.silent = True, 0.0
                    await send(_END)
        except TimeoutError:
            raise SendTimeoutError from None
        finally:
            viewer.leave()
            hang_up.cancel()


async def _hang_up(receive: Receive, viewer: Viewer) -> None:
    """Have the viewer leave when its client does."""
    while (await receive())["type"] != "http.disconnect":
        pass
    viewer.leave()


async def _nothing() -> AsyncIterator[bytes]:
    """Stand in for the content that the response would send by itself."""
    return
    yield b""
