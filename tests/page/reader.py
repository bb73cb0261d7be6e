"""Page object: drives the page in a browser and records its errors."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from playwright.async_api import Browser, Locator, Page, Request, expect

# Seconds for anything to appear on a busy machine.
SOON = 15
QUESTION = "How fast should the attack be when I side-chain the bass to the kick?"

# Records violations of the Content-Security-Policy; there should be none.
WATCH = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) =>
  violations.push(`${event.effectiveDirective} ${event.blockedURI} ${event.sample}`));
"""


class Reader:
    """A user of the page. `errors` has its script errors, `foreign_requests` other hosts' URLs."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.errors: list[str] = []
        self.foreign_requests: list[str] = []
        page.set_default_timeout(SOON * 1_000)
        page.on("pageerror", lambda error: self.errors.append(f"{error} {error.stack}"))
        page.on("dialog", lambda dialog: self.errors.append(dialog.message))
        page.on("request", self._requested)
        self.question = page.get_by_label("Your question", exact=True)
        self.creator = page.get_by_role("combobox")
        self.panel = page.get_by_role("dialog")
        self.status = page.get_by_role("status")
        self.send = page.get_by_role("button", name="Send")
        self.stop = page.get_by_role("button", name="Stop", exact=True)

    def _requested(self, request: Request) -> None:
        if not request.url.startswith(self.url):
            self.foreign_requests.append(request.url)

    async def open(self) -> None:
        """Open the page."""
        await self.page.goto(self.url)
        await expect(self.question).to_be_visible()

    async def module(self, name: str) -> str:
        """Return the URL of one of the page's modules."""
        url: str = await self.page.evaluate("document.scripts[0].src")
        return url.replace("page.js", name)

    async def ask(self, question: str = QUESTION) -> None:
        """Type a question and send it."""
        await self.question.fill(question)
        await self.question.press("Enter")

    @property
    def turns(self) -> Locator:
        """The turns of the conversation."""
        return self.page.get_by_role("article")

    @property
    def turn(self) -> Locator:
        """The last turn."""
        return self.turns.last

    @property
    def answer(self) -> Locator:
        """The last answer."""
        return self.turn.locator(".answer")

    def mark(self, number: int) -> Locator:
        """The first citation of this source in the last answer."""
        return self.answer.get_by_role("button", name=f"Source {number}:").first

    def notice(self, title: str) -> Locator:
        """The heading of a notice above the conversation."""
        return self.page.get_by_role("heading", name=title)

    def button(self, name: str) -> Locator:
        """A button of the last turn."""
        return self.turn.get_by_role("button", name=name, exact=True)

    async def answer_contains(self, text: str) -> None:
        """Wait until the last answer contains this text."""
        await expect(self.answer).to_contain_text(text, timeout=SOON * 1_000)

    async def turn_contains(self, text: str) -> None:
        """Wait until the last turn contains this text, in its answer or elsewhere."""
        await expect(self.turn).to_contain_text(text, timeout=SOON * 1_000)

    async def announced(self, text: str | re.Pattern[str]) -> None:
        """Wait until the live region announces this text."""
        await expect(self.status).to_contain_text(text, timeout=SOON * 1_000)

    async def sources_found(self) -> None:
        """Wait until the search is over."""
        await self.announced("Reading")

    async def finished(self) -> None:
        """Wait until no answer is running."""
        await expect(self.send).to_be_visible(timeout=SOON * 1_000)

    async def cookie(self) -> dict[str, str]:
        """The Cookie header of the browser, to send requests as this user."""
        (cookie,) = await self.page.context.cookies(self.url)
        return {"Cookie": f"{cookie['name']}={cookie['value']}"}

    async def session(self) -> Any:
        """The tab's session storage."""
        return await self.page.evaluate("JSON.parse(sessionStorage.chrysopedia ?? '{}')")


@asynccontextmanager
async def reading(chromium: Browser, url: str, **options: Any) -> AsyncIterator[Reader]:
    """Open the page in a new browser context; fails on script errors and CSP violations."""
    context = await chromium.new_context(reduced_motion="reduce", **options)
    await context.add_init_script(WATCH)
    try:
        reader = Reader(await context.new_page(), url)
        await reader.open()
        yield reader
        assert not reader.errors, reader.errors
        violations = await reader.page.evaluate("violations")
        assert not violations, violations
    finally:
        await context.close()
