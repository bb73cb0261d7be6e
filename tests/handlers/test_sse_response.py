"""The reply that streams a turn, called as servers do it, by one whose sends may stand still."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from sse_starlette.sse import SendTimeoutError
from starlette.types import Message

from app.handlers.sse_response import PING, TurnStream
from app.services.streams import ReconnectElsewhere, StreamBuffer
from app.services.streams.heartbeat import Heartbeat
from app.services.streams.log_format import Header

pytestmark = pytest.mark.anyio


class Server:
    """Notes what is sent: the start, and bodies. From send `stuck_at` on, each waits for `goes_on`.

    It tells of the reply's end and of a hang-up as ASGI has it: by `http.disconnect`.
    """

    def __init__(self, stuck_at: int | None = None) -> None:
        self.start: Message = {}
        self.bodies: list[bytes] = []
        self.goes_on = anyio.Event()
        self.stuck = anyio.Event()
        self.gone = anyio.Event()
        self._stuck_at = stuck_at

    async def receive(self) -> Message:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.start = message
            return
        if len(self.bodies) == self._stuck_at:
            self.stuck.set()
            # In more than one step, as a server may.
            await anyio.lowlevel.checkpoint()
            await self.goes_on.wait()
        self.bodies.append(message["body"])
        if not message["more_body"]:
            self.gone.set()

    async def ask(self, turn: StreamBuffer, method: str = "GET", most: float = 60) -> None:
        heartbeat = Heartbeat(every=most / 2, send_timeout=most, look=lambda: None)
        stream = TurnStream(turn, -1, heartbeat)
        with anyio.fail_after(5):
            await stream({"type": "http", "method": method}, self.receive, self.send)
        assert turn.viewers == 0

    @asynccontextmanager
    async def asked(self, turn: StreamBuffer) -> AsyncIterator[None]:
        """Ask, and wait for the reply's end at the end."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.ask, turn)
            await anyio.wait_all_tasks_blocked()
            yield


@pytest.fixture
def turn() -> StreamBuffer:
    return StreamBuffer("t", Header("c", "w"))


async def test_frames_leave_in_the_call_that_brings_them_and_then_the_end(
    turn: StreamBuffer,
) -> None:
    turn.add([b"0", b"1"])
    server = Server()
    async with server.asked(turn):
        assert (b"x-turn-id", b"t") in server.start["headers"]
        assert server.bodies == [b"01"]
        turn.append(b"2")
        assert server.bodies == [b"01", b"2"]
        turn.add([b"3"], ended=True)
        assert server.bodies == [b"01", b"2", b"3", b""]


async def test_what_comes_while_a_send_stands_still_follows_it_in_one(turn: StreamBuffer) -> None:
    server = Server(stuck_at=1)
    async with server.asked(turn):
        turn.append(b"0")
        turn.append(b"1")
        turn.append(b"2")
        turn.add([b"3"], ended=True)
        await server.stuck.wait()
        assert server.bodies == [b"0"]
        server.goes_on.set()
    assert server.bodies == [b"0", b"1", b"23", b""]


@pytest.mark.parametrize("stuck_at", [0, 1], ids=["the frames", "the end"])
async def test_no_send_may_take_longer_than_its_time(turn: StreamBuffer, stuck_at: int) -> None:
    turn.add([b"0", b"1"], ended=True)
    with pytest.raises(SendTimeoutError):
        await Server(stuck_at).ask(turn, most=0.02)


async def test_a_silent_stream_gets_pings_until_its_viewer_hangs_up(turn: StreamBuffer) -> None:
    server = Server()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.ask, turn, "GET", 0.04)
        with anyio.fail_after(5):
            while len(server.bodies) < 2:
                await anyio.lowlevel.checkpoint()
        server.gone.set()
    assert set(server.bodies) == {PING}


async def test_a_viewer_that_hangs_up_while_a_send_stands_still_gets_no_more(
    turn: StreamBuffer,
) -> None:
    server = Server(stuck_at=0)
    async with server.asked(turn):
        turn.append(b"0")
        await server.stuck.wait()
        server.gone.set()
    server.goes_on.set()
    turn.append(b"1")
    await anyio.wait_all_tasks_blocked()
    assert server.bodies == []


async def test_one_that_is_sent_away_has_no_end(turn: StreamBuffer) -> None:
    server = Server()
    turn.add([b"0"])
    turn.cut()
    with pytest.raises(ReconnectElsewhere):
        await server.ask(turn)
    assert server.bodies == [b"0"]


async def test_a_send_that_fails_ends_its_own_stream_and_no_other(turn: StreamBuffer) -> None:
    class Broken(Server):
        async def send(self, message: Message) -> None:
            if message["type"] == "http.response.body":
                raise RuntimeError("broken")

    whole = Server()
    async with whole.asked(turn):
        turn.append(b"0")
        with pytest.raises(RuntimeError, match="broken"):
            await Broken().ask(turn)
        turn.add([b"1"], ended=True)
    assert whole.bodies == [b"0", b"1", b""]


async def test_head_gives_the_headers_alone(turn: StreamBuffer) -> None:
    turn.add([b"0"], ended=True)
    server = Server()
    await server.ask(turn, "HEAD")
    assert server.bodies == [b""]
