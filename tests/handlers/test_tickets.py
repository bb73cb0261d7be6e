"""Tickets: with AUTH=on, replies name the stream by a link that needs no other credentials."""

import anyio
import pytest
from msgspec.structs import replace

from app.config import Settings
from tests.keys import SITE, MadeKey, bearer, make_key, revoke
from tests.scripted_model import ScriptedModel, say
from tests.service import CHAT, Client, running

pytestmark = pytest.mark.anyio

# Seconds for a worker to see a change, on a busy machine.
SOON = 20
QUESTION = {"query": "Hello!"}


async def ask(service: Client, headers: dict[str, str]) -> tuple[str, str]:
    """Ask, read to the end, and return the Location and the turn's path."""
    async with service.stream(QUESTION, headers) as stream:
        await stream.rest()
        found = stream.response.headers
    return found["Location"], f"{CHAT}/{found['X-Turn-Id']}"


async def test_the_location_opens_the_stream_of_its_turn_only(
    guarded: Client, key: MadeKey, database_url: str
) -> None:
    public = await make_key(database_url, "public", kind="publishable", origins=(SITE,))
    credentials = (
        key.headers,
        key.headers | {"X-Subject": "ann"},
        bearer(key.token()),
        public.headers | {"Origin": SITE},
    )
    locations = []
    for headers in credentials:
        location, turn = await ask(guarded, headers)
        assert location.startswith(f"{turn}?ticket=")
        for path in (location, f"{location}&lastEventId="):
            status, stream, _ = await guarded.call("GET", path)
            assert status == 200
            assert b"event: done" in stream
        locations.append(location)
    first, second = locations[:2]
    other = f"{second.partition('?')[0]}?{first.partition('?')[2]}"
    for path in (other, f"{first}x", f"{first.partition('?')[0]}?ticket=x"):
        status, problem, _ = await guarded.call("GET", path)
        assert (status, problem["status"]) == (404, 404), path


async def test_a_ticket_does_not_allow_anything_else(guarded: Client, key: MadeKey) -> None:
    location, _ = await ask(guarded, key.headers)
    ticket = location.partition("?")[2]
    for method, path in (
        ("DELETE", location),
        ("POST", f"{CHAT}?{ticket}"),
        ("GET", f"/api/v1/creators?{ticket}"),
    ):
        status, _, _ = await guarded.call(method, path, json=QUESTION)
        assert status == 401, (method, path)


async def test_the_ticket_of_a_revoked_key_ends_with_it(
    guarded: Client, key: MadeKey, database_url: str
) -> None:
    location, _ = await ask(guarded, key.headers)
    await revoke(database_url, key)
    with anyio.fail_after(SOON):
        while (await guarded.call("GET", location))[0] != 404:
            pass


async def test_a_repeated_question_names_the_running_stream_with_a_ticket(
    guarded_settings: Settings, library_url: str, model: ScriptedModel
) -> None:
    held = anyio.Event()
    model.answers(say("One", held))
    key = await make_key(library_url, "tickets")
    chosen = replace(
        guarded_settings, database_url=library_url, llm_base_url=model.base_url, llm_model="first"
    )
    body = {"query": "How fast should the attack be when I side-chain the bass to the kick?"}
    headers = key.headers | {"Idempotency-Key": "k"}
    async with running(chosen) as service:
        async with service.stream(body, headers) as stream:
            await stream.until("token")
            status, _, reply = await service.call("POST", CHAT, json=body, headers=headers)
            assert status == 409
            held.set()
        status, text, _ = await service.call("GET", reply["Location"])
    assert status == 200
    assert b"event: done" in text


async def test_a_key_counts_more_than_a_ticket(guarded: Client, key: MadeKey) -> None:
    _, turn = await ask(guarded, key.headers)
    expired = f"{turn}?ticket=x"
    assert (await guarded.call("GET", expired, headers=key.headers))[0] == 200
    assert (await guarded.call("GET", expired))[0] == 404
