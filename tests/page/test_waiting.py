"""The page says that a model works as long as there is no answer."""

import anyio
import pytest
from playwright.async_api import Browser, expect

from tests.page.reader import reading
from tests.scripted_model import ScriptedModel, say
from tests.service import Client

pytestmark = pytest.mark.anyio


async def test_a_model_that_takes_long_is_still_working(
    chromium: Browser, service: Client, model: ScriptedModel
) -> None:
    hold, again = anyio.Event(), anyio.Event()
    model.answers(say(hold, "Now. [1]", again, " Later."))
    phone = {"width": 320, "height": 640}
    async with reading(chromium, service.url, viewport=phone) as reader:
        await reader.page.clock.install()
        await reader.ask()
        await reader.sources_found()
        state = reader.turn.locator(".state")
        before = await state.bounding_box()
        await reader.page.clock.run_for(9_000)
        await reader.sources_found()
        await reader.page.clock.run_for(1_000)
        await reader.announced("Still working: it can take a minute.")
        await expect(state).to_have_text("Still working: it can take a minute.")
        assert await state.bounding_box() == before
        hold.set()
        await reader.answer_contains("Now.")
        await reader.page.clock.run_for(20_000)
        await expect(state).to_have_text("Writing…")
        again.set()
        await reader.finished()
