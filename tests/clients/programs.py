"""Runs widely used SSE clients as programs."""

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

# Chromium's sandbox does not work in containers; background requests would reach other hosts.
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync"
).split()


class ClientReport:
    """The events that a client has received, and how its stream ended."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.end = ""
        self._changed = anyio.Event()

    def add(self, line: dict[str, Any]) -> None:
        """Record an event, or the end."""
        if "end" in line:
            self.end = line["end"]
        else:
            self.events.append(Event(line["id"], line["event"], line["data"]))
        self._changed.set()
        self._changed = anyio.Event()

    async def token(self, text: str) -> None:
        """Wait for a token."""
        await self._until(lambda: any(event.data == text for event in self.events))

    async def ended(self) -> None:
        """Wait for the end."""
        await self._until(lambda: bool(self.end))

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            await self._changed.wait()


@asynccontextmanager
async def node(script: str, url: str, query: str) -> AsyncIterator[ClientReport]:
    """Run a script of this folder; it exits when its stream has ended."""
    assert NODE
    report = ClientReport()
    process = await asyncio.create_subprocess_exec(
        *(NODE, FOLDER / script, url + CHAT, query),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
    )
    reading = asyncio.create_task(_read(process, report))
    try:
        yield report
        assert await process.wait() == 0
        await reading
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        await reading


async def _read(process: asyncio.subprocess.Process, report: ClientReport) -> None:
    assert process.stdout
    async for line in process.stdout:
        report.add(json.loads(line))


@asynccontextmanager
async def eventsource_client(url: str, query: str) -> AsyncIterator[ClientReport]:
    """Ask with npm's eventsource-client."""
    async with node("eventsource_client.mjs", url, query) as report:
        yield report


@asynccontextmanager
async def fetch_event_source(url: str, query: str) -> AsyncIterator[ClientReport]:
    """Ask with npm's @microsoft/fetch-event-source."""
    async with node("fetch_event_source.mjs", url, query) as report:
        yield report


@asynccontextmanager
async def browser(url: str, query: str) -> AsyncIterator[ClientReport]:
    """Ask in a browser and follow the turn with its EventSource; nginx must serve `PAGE`."""
    report = ClientReport()
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            page = await chromium.new_page()
            await page.expose_function("report", report.add)
            await page.goto(f"{url}/event_source.html?query={quote(query)}")
            yield report
        finally:
            await chromium.close()
