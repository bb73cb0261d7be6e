"""HTTP response that sends a stream's frames as server-sent events."""

import asyncio
from collections.abc import Mapping

import anyio
from sse_starlette import EventSourceResponse
from sse_starlette.sse import SendTimeoutError
from starlette.types import Receive, Scope, Send

from app.services.streams import Heartbeat, Viewer

PING = b": ping\n\n"
# no-transform: a compressing proxy would hold events back until its buffer is full.
_HEADERS = {"Cache-Control": "no-store, no-transform"}
_END = {"type": "http.response.body", "body": b"", "more_body": False}


class StreamResponse(EventSourceResponse):
    """Sends what a viewer reads, until the stream ends or the client disconnects.

    The request's task waits for the disconnect and a second task sends. sse-starlette's own loop
    adds a timeout and a log call to each message and runs four tasks per stream, which would cost
    more than all other work for the stream (see docs/performance.md).
    """

    def __init__(self, viewer: Viewer, heartbeat: Heartbeat, headers: Mapping[str, str]) -> None:
        super().__init__(viewer, headers={**_HEADERS, **headers}, sep="\n")
        # sse-starlette sets it. The server decides whether the connection is kept.
        del self.headers["Connection"]
        self._viewer = viewer
        self._heartbeat = heartbeat

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response; raises SendTimeoutError if the client stalls, ReconnectElsewhere."""
        await send(
            {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        )
        # Free the headers: the response may stay open for minutes.
        self.raw_headers = []
        if scope["method"] == "HEAD":
            await send(_END)
            return
        with self._viewer, anyio.CancelScope() as receiving:
            sender = asyncio.create_task(self._send_frames(send))
            sender.add_done_callback(lambda _: receiving.cancel())
            try:
                with self._heartbeat.watch(self._viewer, sender):
                    while (await receive())["type"] != "http.disconnect":
                        # The client may have closed its connection: a write detects that.
                        self._viewer.send_heartbeat()
            finally:
                sender.cancel()
        if self._viewer.stalled:
            raise SendTimeoutError
        if sender.done():
            sender.result()

    async def _send_frames(self, send: Send) -> None:
        async for frames in self._viewer:
            await send({"type": "http.response.body", "body": frames or PING, "more_body": True})
        await send(_END)
