"""Layout and appearance: spacing, sizes, overlaps and colours."""

import json
from typing import Any

import anyio
import pytest
from playwright.async_api import Locator, expect

from tests.page.reader import Reader
from tests.scripted_model import ScriptedModel, say

pytestmark = pytest.mark.anyio

# Positions are rounded.
PIXEL = 1


def creators(count: int) -> str:
    names = ["Ann", "Bartholomew Featherstonehaugh-Cholmondeley of the Northern Studio"]
    return json.dumps(
        [
            {"slug": f"c{place}", "name": f"{names[place % 2]} {place}", "videos": 1, "pages": 0}
            for place in range(count)
        ]
    )


async def box(locator: Locator) -> dict[str, float]:
    found: Any = await locator.bounding_box()
    return dict(found)


async def style(locator: Locator, name: str) -> str:
    found: str = await locator.evaluate(
        "(node, name) => getComputedStyle(node).getPropertyValue(name)", name
    )
    return found


async def test_only_block_elements_of_a_list_item_have_spacing(
    reader: Reader, model: ScriptedModel
) -> None:
    model.answers(say("- **Bold:** *by* ear [1][2]\n- Plain.\n\nThen:\n\n1. One.\n\n   A block.\n"))
    await reader.ask()
    await reader.finished()
    for mark in await reader.answer.locator(".mark").all():
        assert await style(mark, "margin-block-start") == "0px"
    assert await style(reader.answer.locator("em"), "margin-block-start") == "0px"
    second = reader.answer.locator("li p", has_text="A block.")
    assert await style(second, "margin-block-start") != "0px"


@pytest.mark.parametrize(("count", "hinted"), [(6, False), (7, True)])
async def test_the_start_screen_suggests_six_creators_and_says_if_there_are_more(
    reader: Reader, count: int, hinted: bool
) -> None:
    await reader.page.route(
        "**/api/v1/creators*", lambda route: route.fulfill(body=creators(count))
    )
    await reader.page.reload()
    cards = reader.page.locator("#suggested-creators button")
    await expect(cards).to_have_count(6)
    more = reader.page.get_by_text("There are more: type a name in the “Ask” field below.")
    await expect(more).to_be_visible(visible=hinted)
    first, second = await box(cards.first), await box(cards.nth(1))
    assert first["y"] == pytest.approx(second["y"], abs=PIXEL)
    assert first["height"] == pytest.approx(second["height"], abs=PIXEL)
    # Their names are aligned and do not overflow.
    names = [await box(cards.nth(place).locator(".name")) for place in (0, 1)]
    assert names[0]["y"] == pytest.approx(names[1]["y"], abs=PIXEL)
    assert await cards.nth(1).evaluate("(card) => card.scrollWidth <= card.clientWidth")


async def test_the_list_of_creators_does_not_cover_the_focus_ring_of_its_field(
    reader: Reader,
) -> None:
    await reader.creator.press("ArrowDown")
    listed = await box(reader.page.get_by_role("listbox"))
    field = await box(reader.creator)
    widths = [await style(reader.creator, f"outline-{name}") for name in ("width", "offset")]
    ring = sum(float(width.removesuffix("px")) for width in widths)
    assert ring > 0
    assert listed["y"] + listed["height"] <= field["y"] - ring + PIXEL


async def test_the_send_button_looks_disabled_while_the_question_is_empty(reader: Reader) -> None:
    empty = await style(reader.send, "background-color")
    await reader.question.fill("Why?")
    assert await style(reader.send, "background-color") != empty
    await reader.question.fill("")
    await reader.send.click()
    await expect(reader.question).to_be_focused()


async def test_the_header_is_opaque(reader: Reader) -> None:
    ground = await style(reader.page.locator("html"), "background-color")
    assert await style(reader.page.locator("header"), "background-color") == ground


async def test_enter_while_an_answer_is_running_shows_a_hint(
    reader: Reader, model: ScriptedModel
) -> None:
    hold = anyio.Event()
    model.answers(say("As far as here.", hold, " All."))
    await reader.ask()
    await reader.answer_contains("As far as here.")
    hint = reader.page.locator("#writing")
    await reader.ask("And the release?")
    await expect(hint).to_have_text(
        "The answer is still being written. Stop it before asking again."
    )
    await expect(hint).to_be_visible()
    await reader.announced("The answer is still being written.")
    await expect(reader.question).to_have_value("And the release?")
    await reader.question.press("End")
    await expect(hint).to_be_hidden()
    await reader.question.press("Enter")
    await expect(hint).to_be_visible()
    hold.set()
    await reader.finished()
    await expect(hint).to_be_hidden()
    await expect(reader.question).to_have_value("And the release?")
