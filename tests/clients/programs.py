"""Widely used SSE clients, run as programs."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import anyio
import pytest
from playwright.async_api import async_playwright

from app.handlers.site import Site
from tests.programs import CHROMIUM, NODE
from tests.service import CHAT, Event

FOLDER = Path(__file__).parent
needs_page = pytest.mark.skipif(
    bool(Site.installed().missing), reason="the page's libraries are not installed (make page)"
)

# For nginx: serve the page with the EventSource from the service's own origin, and answer the
# browser's own requests, so that the question is the first request that a worker gets.
PAGE = f"""
location = /event_source.html {{ root {FOLDER}; default_type text/html; }}
location = /favicon.ico {{ return 204; }}
"""

# No sandbox in a container, and no background requests.
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync"
).split()


class Told:
    """What a client has reported: its events, and how its stream ended."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.end = ""
        self._news = anyio.Event()

    def take(self, line: dict[str, Any]) -> None:
        """Record an event, or the end."""
        if "end" in line:
            self.end = line["end"]
        else:
            self.events.append(Event(line["id"], line["event"], line["data"]))
        self._news.set()
        self._news = anyio.Event()

    async def token(self, text: str) -> None:
        """Wait for a token."""
        await self._until(lambda: any(event.data == text for event in self.events))

    async def ended(self) -> None:
        """Wait for the end."""
        await self._until(lambda: bool(self.end))

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            await self._news.wait()


@asynccontextmanager
async def node(script: str, url: str, query: str) -> AsyncIterator[Told]:
    """Run one of the scripts; it exits when its stream has ended."""
    assert NODE
    told = Told()
    process = await asyncio.create_subprocess_exec(
        *(NODE, FOLDER / script, url + CHAT, query),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
    )
    reading = asyncio.create_task(_read(process, told))
    try:
        yield told
        assert await process.wait() == 0
        await reading
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        await reading


async def _read(process: asyncio.subprocess.Process, told: Told) -> None:
    assert process.stdout
    async for line in process.stdout:
        told.take(json.loads(line))


@asynccontextmanager
async def eventsource_client(url: str, query: str) -> AsyncIterator[Told]:
    """Ask with npm's eventsource-client."""
    async with node("eventsource_client.mjs", url, query) as told:
        yield told


@asynccontextmanager
async def fetch_event_source(url: str, query: str) -> AsyncIterator[Told]:
    """Ask with npm's @microsoft/fetch-event-source."""
    async with node("fetch_event_source.mjs", url, query) as told:
        yield told


@asynccontextmanager
async def browser(url: str, query: str) -> AsyncIterator[Told]:
    """Ask in a browser, which follows with its EventSource; nginx must serve PAGE."""
    told = Told()
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            page = await chromium.new_page()
            await page.expose_function("report", told.take)
            await page.goto(f"{url}/event_source.html?query={quote(query)}")
            yield told
        finally:
            await chromium.close()
