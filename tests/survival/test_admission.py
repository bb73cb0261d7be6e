"""Tests of workers that run as many turns as they may."""

import asyncio
from urllib.parse import urlsplit

import anyio
import msgspec
import pytest
from msgspec.structs import replace

from app.config import Settings
from tests.scripted_model import ScriptedModel, say
from tests.service import CHAT, Client, running
from tests.survival.reading import QUESTION, SOON, asking, ending, following, said

pytestmark = pytest.mark.anyio

HEADERS_ALONE = (
    f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    "Content-Length: 100\r\n\r\n"
)


@pytest.fixture
def settings(model_settings: Settings) -> Settings:
    return replace(model_settings, max_turns=1)


async def refused(service: Client) -> None:
    """Assert that the worker refuses a question because it is full."""
    status, problem, headers = await service.call("POST", CHAT, json={"query": QUESTION})
    assert (status, problem["status"]) == (503, 503)
    assert problem["type"] == "urn:chrysopedia:problem:unavailable"
    assert int(headers["Retry-After"]) > 0


async def readiness(service: Client) -> tuple[int, str]:
    """Return the status of `/readyz` and the state of the worker."""
    status, ready, _ = await service.call("GET", "/readyz")
    assert ready["ready"] == (status == 200)
    return status, ready["parts"]["worker"]


async def test_a_full_worker_refuses_questions_until_a_turn_ends(
    settings: Settings, model: ScriptedModel
) -> None:
    held = anyio.Event()
    model.answers(say("One", held, " two"), say("Three"))
    async with running(settings) as service:
        assert await readiness(service) == (200, "ok")
        async with asking(service) as reader:
            await reader.until(2)
            await refused(service)
            assert await readiness(service) == (503, "full")
            held.set()
            await reader.rest()
        assert await readiness(service) == (200, "ok")
        async with asking(service) as reader:
            assert said(await reader.rest()) == "Three"
    assert len(model.requests) == 2


async def test_a_full_worker_still_serves_and_stops_its_turns(
    settings: Settings, model: ScriptedModel
) -> None:
    model.answers(say("One", anyio.Event()))
    async with running(settings) as service, asking(service) as reader:
        await reader.until(2)
        async with following(service, reader.turn_id, method="GET") as again:
            assert await again.until(2) == reader.frames
        async with following(service, reader.turn_id, reader.frames[0], "POST") as again:
            assert await again.until(1) == reader.frames[1:]
        assert (await service.call("DELETE", f"{CHAT}/{reader.turn_id}"))[0] == 202
        assert ending(await reader.rest()) == "stopped"


async def test_a_full_worker_refuses_before_reading_the_body(
    settings: Settings, model: ScriptedModel
) -> None:
    model.answers(say("One", anyio.Event()))
    async with running(replace(settings, body_timeout=60.0)) as service, asking(service) as reader:
        await reader.until(2)
        from_service, to_service = await asyncio.open_connection(
            "127.0.0.1", urlsplit(service.url).port
        )
        to_service.write(HEADERS_ALONE.encode())
        with anyio.fail_after(SOON):
            head = (await from_service.readuntil(b"\r\n\r\n")).lower()
        to_service.close()
        await to_service.wait_closed()
    assert head.startswith(b"http/1.1 503 ")
    assert b"\r\nretry-after: " in head


async def test_refused_questions_do_not_count_against_the_rate_limit(
    settings: Settings, model: ScriptedModel
) -> None:
    held = anyio.Event()
    model.answers(say("One", held), say("Two"))
    async with running(replace(settings, rate_limit=2)) as service:
        async with asking(service) as reader:
            await reader.until(2)
            for _ in range(3):
                await refused(service)
            held.set()
            await reader.rest()
        async with asking(service) as reader:
            assert said(await reader.rest()) == "Two"
        assert (await service.call("POST", CHAT, json={"query": QUESTION}))[0] == 429


async def test_of_many_concurrent_questions_only_max_turns_are_answered(
    settings: Settings, model: ScriptedModel
) -> None:
    held = anyio.Event()
    model.answers(say("One", held))
    async with running(replace(settings, max_turns=3)) as service:
        asked = service.url + CHAT
        replies = await asyncio.gather(
            *(service.http.post(asked, json={"query": QUESTION}) for _ in range(20))
        )
        held.set()
        bodies = [await reply.read() for reply in replies]
    statuses = [reply.status for reply in replies]
    assert (statuses.count(200), statuses.count(503)) == (3, 17)
    for status, body in zip(statuses, bodies, strict=True):
        assert b"event: done" in body if status == 200 else msgspec.json.decode(body)
    assert len(model.requests) == 3
