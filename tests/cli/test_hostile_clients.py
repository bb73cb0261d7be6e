"""Clients that send too much, too slowly, or nothing that is HTTP."""

import logging
from collections.abc import AsyncIterator
from contextlib import suppress
from urllib.parse import urlencode

import anyio
import pytest
from msgspec.structs import replace

from app.cli.connections import ConnectionLimits
from app.cli.http_protocol import HEAD_LIMIT, HEADER_LIMIT, PIECE, PIPELINE_LIMIT
from app.config import Settings
from app.infra.embedded.wait import until
from app.limits import CREATOR_LIMIT, QUERY_LIMIT
from tests.cli.raw_client import SOON, connect, exchange, get
from tests.scripted_model import ScriptedModel, say
from tests.service import CHAT, Client, running

pytestmark = pytest.mark.anyio

CLOSE = b"Connection: close\r\n"
UPGRADE = b"Connection: Upgrade\r\nUpgrade: h2c\r\n"
CHUNKED = b"POST /api/v1/chat HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
QUESTION = b'{"query": "How fast should the attack be?"}'
JSON = b"Content-Type: application/json\r\n"
ASKS = b"POST %b HTTP/1.1\r\nHost: localhost\r\n%bContent-Length: %d\r\n\r\n%b" % (
    *(CHAT.encode(), JSON),
    *(len(QUESTION), QUESTION),
)
MEGABYTE = 1 << 20


@pytest.fixture
async def service(model_settings: Settings) -> AsyncIterator[Client]:
    """The running service, with the scripted model."""
    async with running(model_settings) as client:
        yield client


@pytest.fixture
async def hasty(model_settings: Settings) -> AsyncIterator[Client]:
    """A service that waits only briefly for heads."""
    limits = replace(ConnectionLimits.of_process(None, 0), head_timeout=0.2, keep_alive=0.2)
    async with running(replace(model_settings, body_timeout=0.2), limits) as client:
        yield client


def many_headers(count: int) -> bytes:
    return b"".join(b"x-%05d: y\r\n" % number for number in range(count))


async def sent_before_refusal(service: Client, start: bytes, more: bytes) -> tuple[int, bytes]:
    """Send without end; return how much was taken before the connection was closed."""
    async with connect(service) as (reader, writer):
        writer.write(start)
        sent, reply = 0, b""
        with anyio.fail_after(2 * SOON):
            while not reader.at_eof():
                try:
                    writer.write(more)
                    await writer.drain()
                    await anyio.lowlevel.checkpoint()
                except ConnectionError:
                    break
                sent += len(more)
                assert sent < 100 * MEGABYTE
            try:
                reply = await reader.read()
            except ConnectionError:
                reply = b""
        return sent, reply


@pytest.mark.parametrize("offer", [b"", UPGRADE], ids=["plain", "upgrade"])
@pytest.mark.parametrize(
    "request_",
    [
        get(f"/{'x' * (HEAD_LIMIT + 2 * PIECE)}", CLOSE),
        get("/healthz", CLOSE + b"X-A: %b\r\n" % (b"a" * HEAD_LIMIT)),
        get("/healthz", CLOSE + many_headers(HEADER_LIMIT)),
    ],
    ids=["line", "header", "count"],
)
async def test_head_over_a_limit_is_refused(
    service: Client, request_: bytes, offer: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    request_ = request_.replace(b"Connection: close\r\n", offer or CLOSE)
    reply = await exchange(service, request_)
    assert reply.startswith(b"HTTP/1.1 431 ")
    assert reply.partition(b"\r\n\r\n")[2].count(b"\n") == 0
    [line] = [it for it in caplog.messages if it.startswith("request refused: 431")]
    assert len(line) < 100


async def test_longest_search_is_served(service: Client) -> None:
    longest = {"q": "🎚" * QUERY_LIMIT, "creator": "🎚" * CREATOR_LIMIT}
    request = get(f"/api/v1/search?{urlencode(longest)}", CLOSE + many_headers(50))
    for pieces in ([request], [request[:10_000], request[10_000:]]):
        assert b" 200 OK" in await exchange(service, *pieces)


@pytest.mark.parametrize(
    ("start", "more"),
    [
        (b"GET /", b"x" * PIECE),
        (b"GET / HTTP/1.1\r\nX-A: ", b"x" * PIECE),
        (b"GET / HTTP/1.1\r\n", many_headers(1_000)),
        (b"", b"\r\n" * PIECE),
        (CHUNKED + b"0\r\nX-A: ", b"x" * PIECE),
        (CHUNKED + b"0\r\n", many_headers(1_000)),
        (CHUNKED + b"1;", b"x" * PIECE),
    ],
    ids=["line", "header", "headers", "breaks", "trailer", "trailers", "extension"],
)
async def test_endless_data_is_cut_off(service: Client, start: bytes, more: bytes) -> None:
    sent, _ = await sent_before_refusal(service, start, more)
    # The rest is in buffers of the two kernels.
    assert sent < 30 * MEGABYTE


async def test_trailers_do_not_become_headers(service: Client) -> None:
    start = (
        f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n".encode() + JSON
    )
    body = b"\r\n%x\r\n%b\r\n0\r\nX-Request-Id: trailer\r\n\r\n" % (len(QUESTION), QUESTION)
    reply = await exchange(service, start + CLOSE + body)
    assert b" 200 OK" in reply
    assert b"trailer" not in reply


@pytest.mark.parametrize(
    "pieces",
    [
        [],
        [b"\r\n"],
        [b"G"],
        [b"GET / HTTP/1.1\r\nHost: localhost\r\nX-A: "],
        [get("/healthz")],
        [get("/healthz"), b"G"],
        [get("/healthz") + b"GET /healthz HTTP/1.1\r\nX"],
        [get("/healthz"), b"\r\n"],
        [get("/healthz", b"Content-Length: 1000000\r\n"), b"x", b"x"],
        [
            f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n".encode()
            + JSON
            + b"\r\n{"
        ],
    ],
)
async def test_connection_without_a_complete_request_is_closed_in_time(
    hasty: Client, pieces: list[bytes]
) -> None:
    reply = await exchange(hasty, *pieces)
    # At most the first request was complete.
    assert reply.count(b"HTTP/1.1 ") <= 1


async def test_client_that_trickles_is_closed_in_time(hasty: Client) -> None:
    for start in (b"GET / HTTP/1.1\r\n", get("/healthz", b"Content-Length: 1000000\r\n")):
        async with connect(hasty) as (reader, writer):
            writer.write(start)
            with anyio.fail_after(SOON):
                while not reader.at_eof():
                    writer.write(b"x")
                    with anyio.move_on_after(0.01), suppress(ConnectionError):
                        await reader.read(1)
                    if reader.exception():
                        break


async def test_stream_outlives_the_deadlines(hasty: Client, model: ScriptedModel) -> None:
    held = anyio.Event()
    model.answers(say("One", held, " two"))
    async with hasty.stream({"query": QUESTION.decode()}) as stream:
        await stream.until("token")
        # By then an idle connection would have been closed.
        assert await exchange(hasty) == b""
        assert await exchange(hasty, get("/healthz"))
        held.set()
        assert (await stream.rest())[-1].name == "done"


async def test_pipelined_requests_are_limited(service: Client) -> None:
    reply = await exchange(service, get("/healthz") * 5_000)
    # One is running, the others wait for it.
    assert reply.count(b"HTTP/1.1 200 OK") == PIPELINE_LIMIT + 1
    assert reply.count(b"connection: close") == 1
    assert reply.endswith(b"ok\n")


async def test_malformed_request_after_a_complete_one_does_not_harm_it(
    service: Client, model: ScriptedModel, caplog: pytest.LogCaptureFixture
) -> None:
    held = anyio.Event()
    model.answers(say("One", held, " two"))
    async with connect(service) as (reader, writer):
        with anyio.fail_after(SOON):
            writer.write(ASKS)
            await reader.readuntil(b'"One"')
            writer.write(b"NONSENSE\r\n\r\n" * 3)
            await anyio.wait_all_tasks_blocked()
            held.set()
            reply = await reader.read()
    assert b"event: done" in reply
    assert b"400" not in reply
    assert len([it for it in caplog.messages if it.startswith("request refused")]) == 1


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("tail", [b"", b"BAD\r\n\r\n"])
async def test_client_that_leaves_its_pipeline_causes_no_traceback(
    service: Client,
    model: ScriptedModel,
    caplog: pytest.LogCaptureFixture,
    tail: bytes,
    reset: bool,
) -> None:
    held = anyio.Event()
    # Many, since the first one sent to a client that is gone only shows that it is.
    model.answers(say("One", held, *[" two"] * 200))
    with caplog.at_level(logging.INFO):
        async with connect(service) as (reader, writer):
            writer.write(ASKS + get("/healthz") * 2 + tail)
            with anyio.fail_after(SOON):
                await reader.readuntil(b'"One"')
            if reset:
                writer.transport.abort()
        held.set()
        assert await until(lambda: f"POST {CHAT} 200" in str(caplog.messages), SOON)
    assert [it for it in caplog.records if it.exc_info or it.levelno >= logging.ERROR] == []


@pytest.mark.parametrize(
    "request_",
    [
        b"NONSENSE\r\n\r\n",
        b"GET /\x1b[31m HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET /\u202e HTTP/1.1\r\nHost: localhost\r\n\r\n".encode(),
        b"GET /a\x7f HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nX-A: b\x00\r\n\r\n",
        CHUNKED + b"x\r\n",
    ],
)
async def test_malformed_request_is_logged_in_one_short_line(
    service: Client, caplog: pytest.LogCaptureFixture, request_: bytes
) -> None:
    assert (await exchange(service, get("/healthz"), request_)).count(b"HTTP/1.1 400 ") == 1
    [line] = [it for it in caplog.messages if it.startswith("request refused: 400")]
    assert len(line) < 100
    assert line.isprintable()


async def test_offer_of_a_websocket_is_logged_once(
    service: Client, caplog: pytest.LogCaptureFixture
) -> None:
    offer = b"Connection: Upgrade, close\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    with caplog.at_level(logging.INFO, "app"):
        assert b" 200 OK" in await exchange(service, get("/healthz", offer))
    assert len([it for it in caplog.messages if "/healthz" in it or "pgrade" in it]) == 1
