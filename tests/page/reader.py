"""A browser and an address come in; what a reader does there, and sees, goes out."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from playwright.async_api import Browser, Locator, Page, Request, expect

# Seconds for what should come at once, on a machine that does other things too.
SOON = 15
QUESTION = "How fast should the attack be when I side-chain the bass to the kick?"

# Reports what the security policy has stopped: nothing should come as far as that.
WATCH = """
window.stopped = [];
document.addEventListener("securitypolicyviolation", (event) =>
  stopped.push(`${event.effectiveDirective} ${event.blockedURI} ${event.sample}`));
"""


class Reader:
    """Someone at the page. `faults` is what went wrong in it, `elsewhere` who else was asked."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.faults: list[str] = []
        self.elsewhere: list[str] = []
        page.set_default_timeout(SOON * 1_000)
        page.on("pageerror", lambda error: self.faults.append(f"{error} {error.stack}"))
        page.on("dialog", lambda dialog: self.faults.append(dialog.message))
        page.on("request", self._requested)
        self.question = page.get_by_label("Your question", exact=True)
        self.creator = page.get_by_role("combobox")
        self.panel = page.get_by_role("dialog")
        self.status = page.get_by_role("status")
        self.send = page.get_by_role("button", name="Send")
        self.stop = page.get_by_role("button", name="Stop", exact=True)

    def _requested(self, request: Request) -> None:
        if not request.url.startswith(self.url):
            self.elsewhere.append(request.url)

    async def open(self) -> None:
        """Go to the page."""
        await self.page.goto(self.url)
        await expect(self.question).to_be_visible()

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
        """The first mark in the last answer that names this source."""
        return self.answer.get_by_role("button", name=f"Source {number}:").first

    def notice(self, title: str) -> Locator:
        """What is told above the conversation."""
        return self.page.get_by_role("heading", name=title)

    def button(self, name: str) -> Locator:
        """A button of the last turn."""
        return self.turn.get_by_role("button", name=name, exact=True)

    async def reads(self, text: str) -> None:
        """Wait until the last answer has that text."""
        await expect(self.answer).to_contain_text(text, timeout=SOON * 1_000)

    async def is_told(self, text: str) -> None:
        """Wait until the last turn says so, outside its answer as well."""
        await expect(self.turn).to_contain_text(text, timeout=SOON * 1_000)

    async def hears(self, text: str) -> None:
        """Wait until the live region says so."""
        await expect(self.status).to_contain_text(text, timeout=SOON * 1_000)

    async def finds_sources(self) -> None:
        """Wait until the search is over."""
        await self.hears("Reading")

    async def finished(self) -> None:
        """Wait until nothing is being answered."""
        await expect(self.send).to_be_visible(timeout=SOON * 1_000)

    async def session(self) -> Any:
        """What the tab remembers."""
        return await self.page.evaluate("JSON.parse(sessionStorage.chrysopedia ?? '{}')")


@asynccontextmanager
async def reading(chromium: Browser, url: str, **options: Any) -> AsyncIterator[Reader]:
    """Open the page in a browser of its own; fails where anything in it went wrong."""
    context = await chromium.new_context(reduced_motion="reduce", **options)
    await context.add_init_script(WATCH)
    try:
        reader = Reader(await context.new_page(), url)
        await reader.open()
        yield reader
        assert not reader.faults, reader.faults
        stopped = await reader.page.evaluate("stopped")
        assert not stopped, stopped
    finally:
        await context.close()
