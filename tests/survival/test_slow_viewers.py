"""Tests of viewers that do not read what they are sent."""

import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import anyio
import pytest
from msgspec.structs import replace

from app.config import Settings
from app.infra.embedded.wait import until
from app.services.chat import answer_stream
from tests.scripted_model import ScriptedModel, say
from tests.service import CHAT, Client, Event, Stream, answer, running
from tests.survival.reading import QUESTION

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="needs TCP_USER_TIMEOUT"),
]

# More than the kernel buffers for a connection.
LONG = ["x" * 65_536] * 96
SEND_TIMEOUT = 0.3
CONNECTIONS = Path("/proc/net/tcp")


def connected(service: Client, port: int) -> bool:
    """Return whether the service's side of the connection from `port` still exists."""
    ends = f":{urlsplit(service.url).port:04X} 0100007F:{port:04X} "
    return ends in CONNECTIONS.read_text()


async def wait_until_cut_off(service: Client, port: int) -> None:
    """Wait until the service's side of a connection is closed."""
    assert await until(lambda: not connected(service, port), 10), "the viewer is still connected"


@contextmanager
def not_reading(service: Client, request: str, body: bytes = b"") -> Iterator[int]:
    """Send a request and do not read the reply; yields the client's port."""
    head = f"{request} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    with socket.socket() as viewer:
        viewer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        viewer.connect(("127.0.0.1", urlsplit(service.url).port))
        viewer.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        yield viewer.getsockname()[1]


@asynccontextmanager
async def slow(service: Client) -> AsyncIterator[tuple[Stream, int]]:
    """Ask a question without reading; yields the stream and the client's port."""
    async with (
        aiohttp.ClientSession(read_bufsize=1_024) as http,
        Client(http, service.url).stream({"query": QUESTION}) as stream,
    ):
        connection = stream.response.connection
        assert connection
        assert connection.transport
        yield stream, connection.transport.get_extra_info("sockname")[1]


async def rest_until_cut(stream: Stream) -> list[Event]:
    """Return the complete events that arrive before the connection breaks."""
    seen: list[Event] = []
    try:
        async for event in stream.events():
            seen.append(event)
    except aiohttp.ClientError:
        return seen
    raise AssertionError("the stream ended normally")


@pytest.fixture(autouse=True)
def _unlimited_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer_stream, "ANSWER_LIMIT", 1 << 30)


@pytest.fixture
def settings(model_settings: Settings) -> Settings:
    return replace(model_settings, send_timeout=SEND_TIMEOUT)


async def test_a_viewer_that_does_not_read_is_disconnected_and_can_resume(
    settings: Settings, model: ScriptedModel
) -> None:
    model.answers(say(*LONG))
    async with running(settings) as service:
        async with slow(service) as (stream, port):
            turn_id = stream.response.headers["X-Turn-Id"]
            await wait_until_cut_off(service, port)
            seen = await rest_until_cut(stream)
        async with service.follow(turn_id, seen[-1].id) as resumed:
            events = seen + await resumed.rest()
    assert answer(seen) != answer(events) == "".join(LONG)
    assert [event.id for event in events] == [f"{turn_id}-{n}" for n in range(len(events))]
    assert events[-1].name == "done"


async def test_a_viewer_that_does_not_read_delays_neither_its_turn_nor_other_viewers(
    settings: Settings, model: ScriptedModel
) -> None:
    held = anyio.Event()
    model.answers(say("One", held, *LONG))
    patient = replace(settings, send_timeout=60.0)
    async with running(patient) as service, slow(service) as (stream, port):
        async with service.follow(stream.response.headers["X-Turn-Id"]) as other:
            seen = await other.until("token")
            held.set()
            with anyio.fail_after(10):
                events = seen + await other.rest()
        assert connected(service, port)
    assert (answer(events), events[-1].name) == ("One" + "".join(LONG), "done")


async def test_a_viewer_that_does_not_read_an_ended_answer_is_disconnected(
    settings: Settings, model: ScriptedModel
) -> None:
    model.answers(say(*LONG), say("x" * 40_000))
    async with running(settings) as service:
        for _ in range(2):
            done = (await service.ask(QUESTION))[-1].data
            with not_reading(service, f"GET {CHAT}/{done['turn_id']}") as port:
                await wait_until_cut_off(service, port)


async def test_a_viewer_that_does_not_read_heartbeats_no_longer_counts(
    settings: Settings, model: ScriptedModel
) -> None:
    model.answers(say("x" * 40_000, anyio.Event()))
    question = json.dumps({"query": QUESTION}).encode()
    async with running(replace(settings, heartbeat=0.05, turn_grace=0.1)) as service:
        with not_reading(service, f"POST {CHAT}", question) as port:
            await wait_until_cut_off(service, port)
        with anyio.fail_after(5):
            await model.disconnected.wait()


async def test_silent_streams_send_heartbeats_on_any_worker(
    settings: Settings, model: ScriptedModel
) -> None:
    held = anyio.Event()
    model.answers(say("One", held, " two"))
    beating = replace(settings, heartbeat=0.05)
    async with (
        running(beating) as one,
        running(beating) as other,
        one.stream({"query": QUESTION}) as stream,
    ):
        turn_id = stream.response.headers["X-Turn-Id"]
        async with other.follow(turn_id) as remote:
            viewers = (stream, remote)
            texts = [await heartbeats(viewer) for viewer in viewers]
            held.set()
            for number, viewer in enumerate(viewers):
                texts[number] += await viewer.response.content.read()
    for text in texts:
        frames = text.split(b"\n\n")[:-1]
        assert {frame for frame in frames if frame.startswith(b":")} == {b": ping"}
        ids = [frame.split(b"\n")[0] for frame in frames if not frame.startswith(b":")]
        assert ids == [f"id: {turn_id}-{n}".encode() for n in range(4)]


async def heartbeats(stream: Stream, times: int = 3) -> bytes:
    """Read a stream until it has `times` heartbeats."""
    text = b""
    with anyio.fail_after(5):
        while text.count(b": ping\n\n") < times:
            text += await stream.response.content.readany()
    return text
