"""Connections of clients that offer an upgrade, or that close their sending side."""

import json
from collections.abc import AsyncIterator

import anyio
import pytest
from msgspec.structs import replace

from app.cli.http_protocol import PIPELINE_LIMIT
from app.config import Settings
from tests.cli.raw_client import SOON, connect, exchange, get
from tests.scripted_model import ScriptedModel, say
from tests.service import CHAT, Client, running

pytestmark = pytest.mark.anyio

BODY = json.dumps({"query": "How fast should the attack be?"}).encode()
# As Java's HttpClient sends it.
H2C = (
    b"Connection: Upgrade, HTTP2-Settings\r\n"
    b"Upgrade: h2c\r\n"
    b"HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\n"
)
CLOSE = b"Connection: close\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n" + b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
SIZED = b"Content-Length: %d\r\n\r\n%b" % (len(BODY), BODY)


@pytest.fixture
async def service(model_settings: Settings) -> AsyncIterator[Client]:
    """The running service, with the scripted model."""
    async with running(model_settings) as client:
        yield client


def question(headers: bytes, body: bytes = SIZED) -> bytes:
    """Return the request of a question."""
    start = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    return start.encode() + headers + body


@pytest.mark.parametrize("body", [SIZED, CHUNKED], ids=["sized", "chunked"])
@pytest.mark.parametrize("pieces", ["one", "head and body", "bytes"])
async def test_an_offer_of_an_upgrade_is_ignored(
    service: Client, model: ScriptedModel, body: bytes, pieces: str
) -> None:
    model.answers(say("One [1]."))
    request = question(H2C.replace(b"Upgrade,", b"Upgrade, close,", 1), body)
    head, separator, rest = request.partition(b"\r\n\r\n")
    split = {
        "one": [request],
        "head and body": [head + separator, rest],
        "bytes": [request[at : at + 1] for at in range(len(request))],
    }
    reply = await exchange(service, *split[pieces])
    assert reply.startswith(b"HTTP/1.1 200 OK\r\n")
    assert reply.count(b"event: done") == 1
    assert len(model.requests) == 1


async def test_requests_after_an_ignored_upgrade_are_served(service: Client) -> None:
    several = [get("/healthz", H2C), question(H2C), get("/healthz", H2C), get("/healthz", CLOSE)]
    for pieces in (several, [b"".join(several)]):
        reply = await exchange(service, *pieces)
        assert reply.count(b"HTTP/1.1 200 OK") == 4
        assert reply.count(b"event: done") == 1


async def test_many_offers_in_one_packet_are_served(service: Client) -> None:
    upgrade = b"Connection: upgrade\r\nUpgrade: x\r\n"
    last = get("/healthz", CLOSE)
    reply = await exchange(service, get("/healthz", upgrade) * PIPELINE_LIMIT + last)
    assert reply.count(b"HTTP/1.1 200 OK") == PIPELINE_LIMIT + 1


async def test_websockets_are_not_offered(service: Client) -> None:
    upgrade = b"Connection: Upgrade, close\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    assert b" 200 OK" in await exchange(service, get("/healthz", upgrade))


@pytest.mark.parametrize(
    "request_",
    [
        b"CONNECT chat:80 HTTP/1.1\r\nHost: chat:80\r\n\r\n",
        b"CONNECT / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"CONNECT /healthz HTTP/1.1\r\nHost: localhost\r\n" + H2C + b"\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/1.1\r\nUpgrade h2c\r\n\r\n",
        question(H2C, b"Transfer-Encoding: chunked\r\n\r\nx\r\n"),
    ],
)
async def test_invalid_requests_are_refused(service: Client, request_: bytes) -> None:
    reply = await exchange(service, request_)
    assert reply.startswith(b"HTTP/1.1 400 Bad Request\r\n")


async def test_client_that_closes_its_sending_side_gets_its_answer(
    model_settings: Settings, model: ScriptedModel
) -> None:
    held = anyio.Event()
    model.answers(say("One", held, " two [1]."))
    settings = replace(model_settings, llm_silence_timeout=9.0)
    async with running(settings) as service, connect(service) as (reader, writer):
        with anyio.fail_after(SOON):
            writer.write(question(b""))
            await reader.readuntil(b'"One"')
            writer.write_eof()
            # It is asked whether it is gone, which a client that reads does not notice.
            await reader.readuntil(b": ping\n\n")
            await reader.readuntil(b": ping\n\n")
            held.set()
            assert b"event: done" in await reader.read()


@pytest.mark.parametrize("headers", [b"", CLOSE, H2C], ids=["keep-alive", "close", "h2c"])
async def test_client_may_close_its_sending_side_before_the_answer(
    service: Client, headers: bytes
) -> None:
    reply = await exchange(service, question(headers), end=True)
    assert reply.count(b"event: done") == 1
    assert reply.endswith(b"0\r\n\r\n")
    assert b" 200 OK" in await exchange(service, get("/readyz", headers), end=True)


@pytest.mark.parametrize("request_", [b"", question(b"")[:-1], b"GET / HTTP/1.1\r\nHo"])
async def test_connection_without_a_complete_request_is_closed(
    service: Client, request_: bytes
) -> None:
    assert await exchange(service, request_, end=True) == b""


async def test_client_that_has_closed_its_connection_is_detected(
    model_settings: Settings, model: ScriptedModel
) -> None:
    model.answers(say("One", anyio.Event()))
    settings = replace(model_settings, turn_grace=0.01, llm_silence_timeout=9.0)
    async with running(settings) as service, connect(service) as (reader, writer):
        with anyio.fail_after(SOON):
            writer.write(question(b""))
            await reader.readuntil(b'"One"')
            writer.close()
            # The turn ends, because nobody follows it.
            await model.disconnected.wait()
