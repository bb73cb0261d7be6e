"""Fixtures of the page tests: one shared browser, and a service with a scripted model."""

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, async_playwright

from app.config import Settings
from tests.clients.programs import FLAGS, needs_page
from tests.page.reader import Reader, reading
from tests.programs import CHROMIUM
from tests.service import Client, running


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent.name == "page":
            item.add_marker(pytest.mark.needs("chromium"))
            item.add_marker(needs_page)


@pytest.fixture(scope="session")
async def chromium(anyio_backend: object) -> AsyncIterator[Browser]:
    """The browser; each `Reader` gets a profile of its own."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            yield browser
        finally:
            await browser.close()


@pytest.fixture
async def service(model_settings: Settings) -> AsyncIterator[Client]:
    """The running service, with a scripted model."""
    async with running(model_settings) as client:
        yield client


@pytest.fixture
async def reader(chromium: Browser, service: Client) -> AsyncIterator[Reader]:
    """The page, open in a new profile."""
    async with reading(chromium, service.url) as reader:
        yield reader
