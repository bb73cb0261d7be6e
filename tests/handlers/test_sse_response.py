"""Tests of the streaming response, called as a server calls it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar

import anyio
import pytest
from sse_starlette.sse import SendTimeoutError
from starlette.types import Message

from app.handlers.sse_response import PING, StreamResponse
from app.services.streams import Heartbeat, ReconnectElsewhere, StreamBuffer
from app.services.streams.log_format import Header

pytestmark = pytest.mark.anyio

request_name: ContextVar[str] = ContextVar("request_name", default="none")


class Server:
    """Records the response. The body message with index `blocked_at` waits for `unblocked`."""

    def __init__(self, blocked_at: int | None = None) -> None:
        self.start: Message = {}
        self.bodies: list[bytes] = []
        self.blocked = anyio.Event()
        self.unblocked = anyio.Event()
        self.disconnected = anyio.Event()
        self._blocked_at = blocked_at

    async def receive(self) -> Message:
        await self.disconnected.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.start = message
            return
        if len(self.bodies) == self._blocked_at:
            self.blocked.set()
            await anyio.lowlevel.checkpoint()
            await self.unblocked.wait()
        self.bodies.append(message["body"])
        if not message["more_body"]:
            self.disconnected.set()

    async def serve(
        self, stream: StreamBuffer, method: str = "GET", send_timeout: float = 60
    ) -> None:
        """Send a stream; a heartbeat is due after half of `send_timeout`."""
        heartbeat = Heartbeat(
            every=send_timeout / 2, stall_timeout=send_timeout, on_check=lambda: None
        )
        response = StreamResponse(stream.follow(), heartbeat, {"X-Name": "value"})
        with anyio.fail_after(5):
            await response({"type": "http", "method": method}, self.receive, self.send)

    @asynccontextmanager
    async def serving(self, stream: StreamBuffer) -> AsyncIterator[None]:
        """Serve a stream during the block, and wait for the end of the response."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.serve, stream)
            await anyio.wait_all_tasks_blocked()
            yield


@pytest.fixture
async def stream() -> AsyncIterator[StreamBuffer]:
    stream = StreamBuffer("s", Header("", "w"))
    yield stream
    assert stream.viewers == 0


async def test_frames_are_sent_as_they_come_and_then_the_end(stream: StreamBuffer) -> None:
    stream.extend([b"0", b"1"])
    server = Server()
    async with server.serving(stream):
        assert (b"x-name", b"value") in server.start["headers"]
        assert server.bodies == [b"01"]
        stream.append(b"2")
        await anyio.wait_all_tasks_blocked()
        assert server.bodies == [b"01", b"2"]
        stream.extend([b"3"], ended=True)
    assert server.bodies == [b"01", b"2", b"3", b""]


async def test_headers_forbid_caching_and_compression(stream: StreamBuffer) -> None:
    stream.extend([b"0"], ended=True)
    server = Server()
    await server.serve(stream)
    headers = dict(server.start["headers"])
    assert headers[b"content-type"] == b"text/event-stream; charset=utf-8"
    assert headers[b"cache-control"] == b"no-store, no-transform"
    assert headers[b"x-accel-buffering"] == b"no"
    assert b"connection" not in headers


async def test_frames_that_arrive_during_a_send_are_sent_together(stream: StreamBuffer) -> None:
    server = Server(blocked_at=1)
    async with server.serving(stream):
        stream.append(b"0")
        await anyio.wait_all_tasks_blocked()
        stream.append(b"1")
        await server.blocked.wait()
        stream.append(b"2")
        stream.extend([b"3"], ended=True)
        assert server.bodies == [b"0"]
        server.unblocked.set()
    assert server.bodies == [b"0", b"1", b"23", b""]


@pytest.mark.parametrize("blocked_at", [0, 1], ids=["frames", "end"])
async def test_a_send_that_takes_too_long_ends_the_response(
    stream: StreamBuffer, blocked_at: int
) -> None:
    stream.extend([b"0", b"1"], ended=True)
    with pytest.raises(SendTimeoutError):
        await Server(blocked_at).serve(stream, send_timeout=0.02)


async def test_a_silent_stream_sends_pings_until_the_client_disconnects(
    stream: StreamBuffer,
) -> None:
    server = Server()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.serve, stream, "GET", 0.04)
        with anyio.fail_after(5):
            while len(server.bodies) < 2:
                await anyio.lowlevel.checkpoint()
        server.disconnected.set()
    assert set(server.bodies) == {PING}


async def test_a_client_that_disconnects_during_a_send_gets_nothing_more(
    stream: StreamBuffer,
) -> None:
    server = Server(blocked_at=0)
    async with server.serving(stream):
        stream.append(b"0")
        await server.blocked.wait()
        server.disconnected.set()
    server.unblocked.set()
    stream.append(b"1")
    await anyio.wait_all_tasks_blocked()
    assert server.bodies == []


async def test_a_detached_viewer_gets_no_end(stream: StreamBuffer) -> None:
    server = Server()
    stream.append(b"0")
    stream.detach_viewers()
    with pytest.raises(ReconnectElsewhere):
        await server.serve(stream)
    assert server.bodies == [b"0"]


async def test_a_failing_send_ends_its_own_response_only(stream: StreamBuffer) -> None:
    class Broken(Server):
        async def send(self, message: Message) -> None:
            if message["type"] == "http.response.body":
                raise RuntimeError("broken")

    server = Server()
    async with server.serving(stream):
        stream.append(b"0")
        with pytest.raises(RuntimeError, match="broken"):
            await Broken().serve(stream)
        stream.extend([b"1"], ended=True)
    assert server.bodies == [b"0", b"1", b""]


async def test_a_failing_receive_ends_the_response(stream: StreamBuffer) -> None:
    class Broken(Server):
        async def receive(self) -> Message:
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        await Broken().serve(stream)


async def test_a_head_request_gets_headers_only(stream: StreamBuffer) -> None:
    stream.extend([b"0"], ended=True)
    server = Server()
    await server.serve(stream, "HEAD")
    assert server.bodies == [b""]


async def test_a_timeout_around_send_cancels_neither_the_producer_nor_other_viewers(
    stream: StreamBuffer,
) -> None:
    class SendTimeout(Server):
        """Limits the time of each send, as a middleware might."""

        async def send(self, message: Message) -> None:
            async with asyncio.timeout(0.02):
                await super().send(message)

    timed_out = anyio.Event()
    slow, fast = SendTimeout(blocked_at=1), SendTimeout()

    async def serve_slow() -> None:
        with pytest.raises(TimeoutError):
            await slow.serve(stream)
        timed_out.set()

    async def produce() -> None:
        for number in range(3):
            stream.append(b"%d" % number)
            await anyio.wait_all_tasks_blocked()
        await timed_out.wait()
        stream.extend([b"end"], ended=True)

    async with fast.serving(stream), anyio.create_task_group() as tasks:
        tasks.start_soon(serve_slow)
        await anyio.wait_all_tasks_blocked()
        await asyncio.create_task(produce())
    assert slow.bodies == [b"0"]
    assert fast.bodies == [b"0", b"1", b"2", b"end", b""]


async def test_send_runs_in_the_context_of_its_own_request(stream: StreamBuffer) -> None:
    class ContextRecorder(Server):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name
            self.seen: set[str] = set()

        async def send(self, message: Message) -> None:
            self.seen.add(request_name.get())
            await super().send(message)

        async def serve_in_context(self, stream: StreamBuffer) -> None:
            request_name.set(self.name)
            await self.serve(stream)

    servers = [ContextRecorder("a"), ContextRecorder("b")]
    request_name.set("producer")
    async with anyio.create_task_group() as tasks:
        for server in servers:
            tasks.start_soon(server.serve_in_context, stream)
        await anyio.wait_all_tasks_blocked()
        stream.append(b"0")
        await anyio.wait_all_tasks_blocked()
        stream.extend([b"1"], ended=True)
    assert [server.seen for server in servers] == [{"a"}, {"b"}]
    assert [server.bodies for server in servers] == [[b"0", b"1", b""]] * 2
