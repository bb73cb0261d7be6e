"""The reply that streams a turn, called as servers do it, by one whose sends may stand still."""

import anyio
import pytest
from sse_starlette.sse import SendTimeoutError
from starlette.types import Message

from app.handlers.streaming import TurnStream
from app.services.event_log import Frames
from app.services.event_log.records import Header
from app.services.heartbeat import Heartbeat

pytestmark = pytest.mark.anyio


class Server:
    """Notes what is sent; the send `stuck_at` never comes back; its client may leave at once."""

    def __init__(self, stuck_at: int | None = None, leaves: bool = False) -> None:
        self.sent: list[Message] = []
        self._stuck_at = stuck_at
        self._leaves = leaves

    async def receive(self) -> Message:
        if not self._leaves:
            await anyio.sleep_forever()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.sent.append(message)
        if len(self.sent) - 1 == self._stuck_at:
            await anyio.sleep_forever()

    async def ask(self, turn: Frames, method: str = "GET") -> None:
        heartbeat = Heartbeat(every=60, send_timeout=0.02, look=lambda: None)
        stream = TurnStream(turn, -1, heartbeat)
        with anyio.fail_after(5):
            await stream({"type": "http", "method": method}, self.receive, self.send)


@pytest.fixture
def ended() -> Frames:
    turn = Frames("t", Header("c", "w"))
    turn.add([b"0", b"1"], ended=True)
    return turn


async def test_all_frames_are_sent_and_then_the_end(ended: Frames) -> None:
    server = Server()
    await server.ask(ended)
    start, *bodies = server.sent
    assert (b"x-turn-id", b"t") in start["headers"]
    assert [(it["body"], it["more_body"]) for it in bodies] == [(b"01", True), (b"", False)]
    assert ended.viewers == 0


@pytest.mark.parametrize("stuck_at", [1, 2], ids=["the frames", "the end"])
async def test_no_send_may_take_longer_than_its_time(ended: Frames, stuck_at: int) -> None:
    with pytest.raises(SendTimeoutError):
        await Server(stuck_at).ask(ended)
    assert ended.viewers == 0


async def test_a_viewer_that_hangs_up_is_followed_by_nothing() -> None:
    turn = Frames("t", Header("c", "w"))
    await Server(leaves=True).ask(turn)
    assert turn.viewers == 0


async def test_head_gives_the_headers_alone(ended: Frames) -> None:
    server = Server()
    await server.ask(ended, "HEAD")
    assert [message.get("body") for message in server.sent] == [None, b""]
