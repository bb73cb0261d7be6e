"""The creator picker, with keyboard and mouse."""

import pytest
from playwright.async_api import expect

from tests.page.reader import Reader

pytestmark = pytest.mark.anyio


async def test_the_picker_is_a_combobox(reader: Reader) -> None:
    options = reader.page.get_by_role("option")
    await expect(reader.creator).to_have_attribute("aria-expanded", "false")
    await reader.creator.focus()
    await reader.creator.press("ArrowUp")
    await expect(options).to_have_count(4)
    await expect(reader.creator).to_have_attribute("aria-expanded", "true")
    active = await reader.creator.get_attribute("aria-activedescendant")
    await expect(options.last).to_have_id(active or "")
    await expect(options.last).to_have_attribute("aria-selected", "true")
    await reader.creator.press("ArrowDown")
    await expect(options.first).to_have_attribute("aria-selected", "true")
    await reader.creator.press("Escape")
    await expect(options).to_have_count(0)
    await reader.creator.fill("zoe")
    await expect(options).to_contain_text("Zoë Tanaka")
    await options.click()
    await expect(reader.creator).to_have_value("Zoë Tanaka")
    await reader.page.get_by_role("button", name="Ask all creators").click()
    await expect(reader.creator).to_have_value("")
    await reader.creator.fill("tom")
    await expect(options).to_contain_text("Tomás Okafor")
    await reader.creator.press("Enter")
    await expect(reader.creator).to_have_value("Tomás Okafor")
    await reader.creator.fill("nobody")
    await reader.announced("No creator has that name.")
    await reader.creator.press("Enter")
    await expect(reader.creator).to_have_value("nobody")


async def test_a_chosen_creator_can_be_changed_back_to_all(reader: Reader) -> None:
    options = reader.page.get_by_role("option")
    await reader.creator.fill("tom")
    await options.click()
    # Enter changes nothing until an option is active.
    await reader.creator.click()
    await expect(options).to_have_count(5)
    await reader.creator.press("Enter")
    await expect(options).to_have_count(0)
    await expect(reader.creator).to_have_value("Tomás Okafor")
    await reader.creator.press("ArrowDown")
    await expect(options.first).to_have_text("All creators")
    await expect(options.first).to_have_attribute("aria-selected", "true")
    active = await options.first.get_attribute("id")
    await expect(reader.creator).to_have_attribute("aria-activedescendant", active or "")
    await reader.creator.press("Enter")
    await expect(reader.creator).to_have_value("")
    await expect(reader.creator).to_be_focused()
    await reader.creator.press("ArrowDown")
    await expect(options).to_have_count(4)
