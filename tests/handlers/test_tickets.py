"""Tickets: a link that follows one turn without other credentials."""

from collections.abc import Mapping

import asyncpg
import pytest

from app.config import Settings
from app.services.access.caller import Caller
from app.services.access.signing import load_secret
from app.services.access.tickets import Tickets
from tests.clients.programs import needs_page
from tests.handlers.test_browser_cookie import SAME, ask, new_browser
from tests.service import Client

pytestmark = [pytest.mark.anyio, needs_page]


async def subject_of(cookie: Mapping[str, str]) -> str:
    """Return the subject in a cookie."""
    import jwt

    value = cookie["Cookie"].partition("=")[2]
    return str(jwt.decode(value, options={"verify_signature": False})["sub"])


async def ticket(settings: Settings, subject: str, turn: str) -> str:
    """Return a ticket for a turn of a subject."""
    connection = await asyncpg.connect(settings.database_url)
    try:
        secret = await load_secret(connection)
    finally:
        await connection.close()
    return Tickets(secret, 60).issue(Caller(identity="secret", subject=subject), turn)


async def test_a_ticket_opens_only_the_stream_of_its_turn(
    service: Client, service_settings: Settings
) -> None:
    browser = await new_browser(service)
    turn, conversation = await ask(service, browser | SAME)
    other, _ = await ask(service, browser | SAME)
    link = await ticket(service_settings, await subject_of(browser), turn.rpartition("/")[2])
    status, stream, _ = await service.call("GET", f"{turn}?ticket={link}")
    assert status == 200
    assert b"event: done" in stream
    status, _, _ = await service.call("GET", f"{turn}?lastEventId=&ticket={link}")
    assert status == 200
    for method, path in (
        ("GET", f"{other}?ticket={link}"),
        ("GET", f"{turn}?ticket={link}x"),
        ("DELETE", f"{turn}?ticket={link}"),
        ("GET", f"{conversation}?ticket={link}"),
    ):
        status, problem, _ = await service.call(method, path)
        assert (status, problem["status"]) == (404, 404), path
