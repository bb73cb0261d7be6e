"""Each browser has its own turns and conversations."""

import anyio
import pytest
from playwright.async_api import Browser, Page, expect

from tests.page.reader import Reader, reading
from tests.scripted_model import ScriptedModel, say
from tests.service import Client

pytestmark = pytest.mark.anyio

ELSEWHERE = "http://elsewhere.example/"


async def test_another_browser_cannot_read_follow_or_stop(
    chromium: Browser, service: Client, reader: Reader, model: ScriptedModel
) -> None:
    held = anyio.Event()
    model.answers(say("Private.", held, " The end."))
    await reader.ask()
    await reader.answer_contains("Private.")
    session = await reader.session()
    turn = f"/api/v1/chat/{session['pending']['turn']}"
    conversation = f"/api/v1/conversations/{session['conversation']}"
    own = await reader.cookie()
    async with reading(chromium, service.url) as another:
        others = await another.cookie()
        for method in ("GET", "DELETE"):
            assert (await service.call(method, turn, headers=others))[0] == 404
        held.set()
        await reader.finished()
        await reader.answer_contains("Private. The end.")
        assert (await service.call("GET", conversation, headers=others))[0] == 404
        await service.call("DELETE", conversation, headers=others)
        assert (await service.call("GET", conversation, headers=own))[0] == 200
        # Another browser that knows the ids, such as from a copied profile.
        kept = await reader.page.evaluate("sessionStorage.chrysopedia")
        await another.page.evaluate("(kept) => (sessionStorage.chrysopedia = kept)", kept)
        await another.page.reload()
        await another.announced("Your conversation has expired")
    await reader.page.reload()
    await reader.answer_contains("Private. The end.")


async def follow_link(page: Page, url: str) -> Reader:
    """Open the page by a link from another site."""
    link = f'<a href="{url}">Ask them</a>'
    await page.route(ELSEWHERE, lambda route: route.fulfill(content_type="text/html", body=link))
    await page.goto(ELSEWHERE)
    await page.get_by_text("Ask them").click()
    await expect(page.locator("#suggestions")).to_be_visible()
    return Reader(page, url)


async def test_a_browser_that_follows_links_from_other_sites_keeps_its_cookie(
    chromium: Browser, service: Client, model: ScriptedModel
) -> None:
    model.answers(say("Private."))
    context = await chromium.new_context()
    try:
        reader = await follow_link(await context.new_page(), service.url)
        (cookie,) = await context.cookies(service.url)
        assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
        await reader.ask()
        await reader.answer_contains("Private.")
        await reader.finished()
        another = await follow_link(await context.new_page(), service.url)
        assert await another.cookie() == await reader.cookie()
        await reader.page.reload()
        await reader.answer_contains("Private.")
    finally:
        await context.close()
