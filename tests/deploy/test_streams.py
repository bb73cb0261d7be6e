"""Streams through nginx: token by token and uncompressed, over HTTP/2 too."""

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import anyio
import pytest
from aiohttp import web
from msgspec.structs import replace

from app.config import Settings
from tests.deploy.curl import curl
from tests.deploy.stub import stub
from tests.nginx import Front, nginx
from tests.scripted_model import ScriptedModel, say
from tests.service import CHAT, Event, answer, parse, running
from tests.survival.reading import QUESTION, SOON

pytestmark = [pytest.mark.anyio, pytest.mark.needs("nginx")]

TOKENS = ("One,", " two,", " three,", " four,", " five.")
# All that a client may accept.
CODINGS = "gzip, deflate, br, zstd"
BODY = {"query": QUESTION}


async def http_1(front: Front, certificate: Path) -> AsyncIterator[Event | str]:
    """Ask over HTTP/1.1; yields the head of the response, and then its events as they arrive."""
    async with front.stream(BODY, {"Accept-Encoding": CODINGS}) as stream:
        yield str(dict(stream.response.headers)).lower()
        async for event in stream.events():
            yield event


async def http_2(front: Front, certificate: Path) -> AsyncIterator[Event | str]:
    """Ask over HTTP/2, as browsers do."""
    headers = ("Content-Type: application/json", f"Accept-Encoding: {CODINGS}")
    options = ("--data", json.dumps(BODY), *(part for it in headers for part in ("--header", it)))
    async with curl(front.tls_url + CHAT, *options, certificate=certificate) as (head, body):
        assert head.startswith("http/2 200")
        yield head
        left = b""
        while chunk := await body.read(1 << 16):
            *frames, left = (left + chunk).split(b"\n\n")
            for frame in frames:
                yield parse(frame)


ASKED = [http_1, pytest.param(http_2, marks=pytest.mark.needs("curl"))]


@pytest.mark.parametrize("ask", ASKED)
async def test_each_token_arrives_before_the_next_is_generated(
    ask: Callable[[Front, Path], AsyncIterator[Event | str]],
    model_settings: Settings,
    model: ScriptedModel,
    certificate: Path,
) -> None:
    # The model waits for the reader: if a token is buffered anywhere, no other follows.
    read = [anyio.Event() for _ in TOKENS]
    steps = [step for pair in zip(TOKENS, read, strict=True) for step in pair]
    model.answers(say(*steps))
    events: list[Event] = []
    with anyio.fail_after(SOON):
        async with (
            running(model_settings) as worker,
            nginx([worker.url.removeprefix("http://")], certificate=certificate) as front,
        ):
            async for come in ask(front, certificate):
                if isinstance(come, str):
                    assert "content-encoding" not in come
                    continue
                events.append(come)
                if come.name == "token":
                    read[sum(event.name == "token" for event in events) - 1].set()
    assert [event.data for event in events if event.name == "token"] == [*TOKENS]
    assert (events[0].name, events[-1].name) == ("sources", "done")
    assert answer(events) == "".join(TOKENS)


async def test_response_is_not_buffered_although_the_worker_does_not_ask_for_it() -> None:
    read = anyio.Event()

    async def two_pieces(request: web.BaseRequest) -> web.StreamResponse:
        reply = web.StreamResponse(headers={"Content-Length": "6"})
        await reply.prepare(request)
        await reply.write(b"one")
        await read.wait()
        await reply.write(b"two")
        return reply

    with anyio.fail_after(SOON):
        async with (
            stub(two_pieces) as worker,
            nginx([worker.address]) as front,
            front.http.get(front.url) as reply,
        ):
            assert await reply.content.readexactly(3) == b"one"
            read.set()
            assert await reply.content.read() == b"two"


async def test_rate_limit_uses_the_address_that_nginx_sees(
    model_settings: Settings,
) -> None:
    async with (
        running(replace(model_settings, rate_limit=1, trusted_proxies="127.0.0.1")) as worker,
        nginx([worker.url.removeprefix("http://")]) as front,
    ):
        # A client cannot choose its own address.
        replies = [
            await front.call("POST", CHAT, json=BODY, headers={"X-Forwarded-For": f"192.0.2.{n}"})
            for n in range(2)
        ]
    assert [status for status, _, _ in replies] == [200, 429]
    assert "RateLimit" in replies[1][2]
