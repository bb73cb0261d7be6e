"""Streams through a proxy that compresses what it may."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import anyio
import pytest

from app.config import Settings
from tests.clients.programs import FOLDER
from tests.programs import NODE
from tests.scripted_model import ScriptedModel, say
from tests.service import Client, answer, running
from tests.survival.reading import QUESTION, SOON

pytestmark = [pytest.mark.anyio, pytest.mark.needs("node", "npm")]


@asynccontextmanager
async def compressing_proxy(target: str) -> AsyncIterator[str]:
    """Run the proxy; returns its address."""
    assert NODE
    process = await asyncio.create_subprocess_exec(
        *(NODE, FOLDER / "compressing_proxy.mjs", target), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout
        yield (await process.stdout.readline()).decode().strip()
    finally:
        process.kill()
        await process.wait()


async def test_a_compressing_proxy_passes_on_each_event_at_once(
    model_settings: Settings, model: ScriptedModel
) -> None:
    held = anyio.Event()
    model.answers(say("One", held, " two"))
    async with (
        running(model_settings) as service,
        compressing_proxy(service.url) as url,
        aiohttp.ClientSession(headers={"Accept-Encoding": "gzip"}) as http,
    ):
        with anyio.fail_after(SOON):
            async with Client(http, url).stream({"query": QUESTION}) as stream:
                assert "Content-Encoding" not in stream.response.headers
                seen = await stream.until("token")
                held.set()
                assert answer(seen + await stream.rest()) == "One two"
        # The proxy does compress other responses.
        async with http.get(f"{url}/openapi.json") as response:
            assert response.headers["Content-Encoding"] == "gzip"
