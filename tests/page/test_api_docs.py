"""The API reference at `/docs` loads only our own files, and can call this service."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import Browser, Locator, Page, expect

from tests.page.reader import WATCH
from tests.service import Client

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def reference(chromium: Browser, url: str) -> AsyncIterator[Page]:
    """Open `/docs` of the service at `url`, in a dark browser.

    Fails on script errors, CSP violations and requests to other URLs.
    """
    context = await chromium.new_context(color_scheme="dark", reduced_motion="reduce")
    await context.add_init_script(WATCH)
    try:
        page = await context.new_page()
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on(
            "console",
            lambda message: problems.append(message.text) if message.type == "error" else None,
        )
        page.on(
            "request",
            lambda request: (
                None if request.url.startswith((url, "data:")) else problems.append(request.url)
            ),
        )
        await page.goto(f"{url}/docs")
        yield page
        assert problems == []
        assert await page.evaluate("violations") == []
    finally:
        await context.close()


@pytest.fixture
async def page(chromium: Browser, service: Client) -> AsyncIterator[Page]:
    """`/docs` of the service."""
    async with reference(chromium, service.url) as page:
        yield page


async def execute(page: Page, operation: str) -> Locator:
    """Send an operation's example request; returns the rows of its response."""
    block = page.locator(f"#operations-{operation}")
    await block.locator(".opblock-summary-control").click()
    await block.get_by_role("button", name="Execute").click()
    response = block.locator(".live-responses-table").first
    await expect(response.locator(".response-col_status").last).to_contain_text("200")
    return response


async def test_reference_lists_every_operation(page: Page, service: Client) -> None:
    _, document, _ = await service.call("GET", "/openapi.json")
    operations = sum(len(item.keys() - {"parameters"}) for item in document["paths"].values())
    await expect(page.locator(".opblock")).to_have_count(operations)
    await expect(page.locator("html")).to_have_class("dark-mode")


async def test_reference_opened_at_an_operation_lists_all_parameters(
    page: Page, service: Client
) -> None:
    await page.goto("about:blank")
    await page.goto(f"{service.url}/docs#/chat/ask")
    names = page.locator("#operations-chat-ask tr[data-param-name]")
    await expect(names).to_have_count(7)
    parameters = [await name.get_attribute("data-param-name") for name in await names.all()]
    assert "X-Request-Id" in parameters
    assert {"Last-Event-ID", "lastEventId"} <= set(parameters)


async def test_search_can_be_tried(page: Page) -> None:
    response = await execute(page, "library-search")
    await expect(response).to_contain_text("cascade_tier")


async def test_chat_can_be_tried_and_shows_the_whole_stream(page: Page) -> None:
    response = await execute(page, "chat-ask")
    for event in ("sources", "token", "done"):
        await expect(response).to_contain_text(f"event: {event}")
