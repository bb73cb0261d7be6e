"""Accessibility: axe-core rules, forced colours, announcements and right-to-left text."""

from typing import Any

import anyio
import pytest
from playwright.async_api import Browser, Locator, expect

from tests.clients.programs import FOLDER
from tests.page.reader import Reader, reading
from tests.scripted_model import ScriptedModel, refuse, say
from tests.service import Client

AXE = FOLDER / "node_modules/axe-core/axe.min.js"
pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(
        not AXE.exists(), reason="axe-core is not installed (make test-all installs it)"
    ),
]

DESKTOP = {"viewport": {"width": 1280, "height": 800}}
PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}
ANSWER = (
    "Set it **fast**. [1]\n\n### Why\n\n- It [leads](https://example.com) [2]\n\n> Said so\n\n",
    "| a | b |\n| --- | --- |\n| c | d |\n\n```\ncode[1]\n```\n\n",
    "השתמשו בזה. [1]\n\n",
)
# The rules of axe-core that need no human judgement.
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("device", [DESKTOP, PHONE], ids=["desktop", "phone"])
async def test_page_violates_no_accessibility_rule(
    chromium: Browser, service: Client, model: ScriptedModel, device: dict[str, Any], colours: str
) -> None:
    hold = anyio.Event()
    model.answers(say(*ANSWER, hold, "The end. [3]"), refuse(400))
    async with reading(chromium, service.url, color_scheme=colours, **device) as reader:
        await reader.creator.press("ArrowDown")
        await expect(reader.page.get_by_role("option")).to_have_count(4)
        await assert_accessible(reader)
        await reader.creator.press("Escape")

        await reader.ask()
        await reader.answer_contains("השתמשו")
        await assert_accessible(reader)
        hold.set()
        await reader.finished()
        await assert_accessible(reader)
        await reader.mark(1).click()
        await assert_accessible(reader)
        await reader.page.keyboard.press("Escape")

        await reader.ask("And now?")
        await reader.turn_contains("The language model failed.")
        await assert_accessible(reader)
        await reader.question.fill("x" * 1_000)
        # The page does not scroll sideways.
        wide = await reader.page.evaluate("document.documentElement.scrollWidth")
        assert wide <= device["viewport"]["width"]


async def test_states_are_visible_in_forced_colors_mode(
    chromium: Browser, service: Client, model: ScriptedModel
) -> None:
    model.answers(say("Fast. [1]"))
    async with reading(chromium, service.url, forced_colors="active") as reader:

        async def style(locator: Locator, name: str) -> str:
            found: str = await locator.evaluate(
                "(node, name) => getComputedStyle(node).getPropertyValue(name)", name
            )
            return found

        await reader.creator.press("ArrowDown")
        options = reader.page.get_by_role("option")
        await expect(options.first).to_have_attribute("aria-selected", "true")
        colour = "background-color"
        assert await style(options.first, colour) != await style(options.last, colour)
        await reader.ask()
        await reader.finished()
        assert await style(reader.mark(1), "border-style") == "solid"
        await reader.question.focus()
        assert await style(reader.page.locator(".question-field"), "outline-style") == "solid"


async def test_progress_and_the_whole_answer_are_announced_but_not_each_token(
    reader: Reader, model: ScriptedModel
) -> None:
    await reader.page.evaluate(
        """() => {
          window.announced = [];
          const status = document.querySelector("[role=status]");
          new MutationObserver(() => announced.push(status.textContent))
            .observe(status, { childList: true, characterData: true, subtree: true });
        }"""
    )
    model.answers(say(*(f"word{number} " for number in range(50)), "[1]"))
    await reader.ask()
    await reader.finished()
    await reader.announced("word49")
    searching, found, answer = await reader.page.evaluate("announced")
    assert searching == "Searching the library…"
    assert found.startswith("Reading ")
    assert answer == "Answer: " + " ".join(f"word{number}" for number in range(50))


async def test_right_to_left_text_is_laid_out_right_to_left(
    reader: Reader, model: ScriptedModel
) -> None:
    model.answers(say("השתמשו בזה. [1]\n\n- יחס\n\nThe rest is English."))
    await reader.ask("מה עם הבס, side-chain attack kick bass?")
    await reader.finished()
    directions = await reader.page.evaluate(
        """() => Array.from(document.querySelectorAll("article h2, .answer > *"),
          (block) => getComputedStyle(block).direction)"""
    )
    assert directions == ["rtl", "rtl", "rtl", "ltr"]


async def assert_accessible(reader: Reader) -> None:
    if not await reader.page.evaluate("'axe' in window"):
        # `evaluate` is exempt from the page's Content-Security-Policy.
        await reader.page.evaluate(AXE.read_text(encoding="utf-8"))
    found = await reader.page.evaluate(
        "(tags) => axe.run(document, { runOnly: { type: 'tag', values: tags } })", RULES
    )
    assert [
        (rule["id"], [node["html"] for node in rule["nodes"]]) for rule in found["violations"]
    ] == []
