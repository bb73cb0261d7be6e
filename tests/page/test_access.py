"""The page with access control."""

import pytest
from msgspec.structs import replace
from playwright.async_api import Browser, expect

from app.config import Settings
from tests.page.reader import reading
from tests.scripted_model import ScriptedModel, say
from tests.service import running

pytestmark = pytest.mark.anyio


async def test_the_page_works_without_a_key(
    chromium: Browser, model_settings: Settings, model: ScriptedModel
) -> None:
    model.answers(say("Access for all. [1]"))
    async with (
        running(replace(model_settings, auth="on")) as service,
        reading(chromium, service.url) as reader,
    ):
        await expect(reader.page.locator("#suggestions")).to_be_visible()
        await reader.ask()
        await reader.answer_contains("Access for all.")
        await reader.finished()
        await reader.page.reload()
        await reader.answer_contains("Access for all.")
        await reader.creator.fill("mara")
        await expect(reader.page.get_by_role("option")).to_have_count(1)


async def test_the_page_says_that_anonymous_visitors_are_not_admitted(
    chromium: Browser, model_settings: Settings
) -> None:
    async with (
        running(replace(model_settings, auth="on", auth_anonymous="off")) as service,
        reading(chromium, service.url) as reader,
    ):
        notice = reader.notice("Credentials are missing or wrong")
        await expect(notice).to_be_visible()
        await expect(reader.page.locator("#notice")).to_contain_text("needs a key or a token")
        await reader.ask()
        await reader.turn_contains("This needs a key or a token")
        await expect(reader.button("Try again")).to_be_hidden()
        await reader.finished()
