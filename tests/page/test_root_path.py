"""The page and `/docs` under a path of another site, which nginx removes."""

import pytest
from msgspec.structs import replace
from playwright.async_api import Browser, expect

from app.config import Settings
from tests.nginx import nginx
from tests.page.reader import reading
from tests.page.test_api_docs import execute, reference
from tests.scripted_model import ScriptedModel, say
from tests.service import running

pytestmark = [pytest.mark.anyio, pytest.mark.needs("nginx")]

UNDER_A_PATH = "location /some/chat/ { proxy_pass http://workers/; }"


@pytest.mark.parametrize("root_path", ["", "/some/chat"])
async def test_the_page_works_under_a_path(
    chromium: Browser, model_settings: Settings, model: ScriptedModel, root_path: str
) -> None:
    model.answers(say("Below a path. [1]"))
    async with (
        running(replace(model_settings, root_path=root_path)) as service,
        nginx([service.url.removeprefix("http://")], UNDER_A_PATH) as front,
        reading(chromium, f"{front.url}/some/chat/") as reader,
    ):
        await reader.ask()
        await reader.finished()
        await reader.answer_contains("Below a path.")
        await reader.page.reload()
        await reader.answer_contains("Below a path.")
        await reader.creator.fill("mara")
        await expect(reader.page.get_by_role("option")).to_have_count(1)
        assert reader.foreign_requests == []


async def test_the_api_reference_works_under_a_path(
    chromium: Browser, model_settings: Settings
) -> None:
    async with (
        running(replace(model_settings, root_path="/some/chat")) as service,
        nginx([service.url.removeprefix("http://")], UNDER_A_PATH) as front,
        reference(chromium, f"{front.url}/some/chat") as page,
    ):
        await expect(await execute(page, "chat-ask")).to_contain_text("event: done")
