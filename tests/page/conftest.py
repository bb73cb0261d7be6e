"""One browser for all tests of the page; a service whose model does as it is told."""

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, async_playwright

from app.handlers.page import installed
from app.settings import Settings
from tests.clients.programs import CHROMIUM, FLAGS, needs_chromium
from tests.page.reader import Reader, reading
from tests.scripted_model import ScriptedModel
from tests.service import Client, running

needs_page = pytest.mark.skipif(
    bool(installed().missing), reason="the page's libraries are not installed (make page)"
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent.name == "page":
            item.add_marker(needs_chromium)
            item.add_marker(needs_page)


@pytest.fixture(scope="session")
async def chromium(anyio_backend: object) -> AsyncIterator[Browser]:
    """A browser; each reader gets a profile of their own."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            yield browser
        finally:
            await browser.close()


@pytest.fixture
def page_settings(library_url: str, redis_url: str, model: ScriptedModel) -> Settings:
    """Settings of a service that asks the scripted model."""
    return Settings(
        database_url=library_url,
        redis_url=redis_url,
        llm_base_url=model.base_url,
        llm_model="first",
    )


@pytest.fixture
async def service(page_settings: Settings) -> AsyncIterator[Client]:
    """The running service."""
    async with running(page_settings) as client:
        yield client


@pytest.fixture
async def reader(chromium: Browser, service: Client) -> AsyncIterator[Reader]:
    """Someone at the page."""
    async with reading(chromium, service.url) as reader:
        yield reader
