"""Asking questions, reading answers and opening sources, with mouse, keyboard and touch."""

from typing import Any

import anyio
import pytest
from playwright.async_api import Browser, expect

from tests.page.reader import QUESTION, Reader, reading
from tests.scripted_model import ScriptedModel, say, whole
from tests.service import Client

pytestmark = pytest.mark.anyio

# Records the indexes of an answer's blocks that change from now on; returns the number of blocks.
WATCH_BLOCKS = """() => {
  window.touched = new Set();
  const answer = document.querySelector(".answer");
  const blocks = Array.from(answer.children);
  const record = ({ target }) =>
    blocks.forEach((block, index) => block.contains(target) && touched.add(index));
  const every = { subtree: true, childList: true, characterData: true, attributes: true };
  new MutationObserver((records) => records.forEach(record)).observe(answer, every);
  return blocks.length;
}"""


async def test_a_streaming_answer_has_citation_marks_that_open_their_sources(
    reader: Reader, model: ScriptedModel
) -> None:
    hold = anyio.Event()
    model.answers(say("Set it **fast**. [1]\n\n", "Then ", hold, "`a[2]` listen. [2]"))
    await reader.ask()
    await reader.answer_contains("Then")
    await expect(reader.answer.locator("strong")).to_have_text("fast")
    await expect(reader.answer).to_have_attribute("aria-busy", "true")
    await expect(reader.mark(1)).to_be_visible()
    first = await reader.answer.locator("p").first.element_handle()
    hold.set()
    await reader.finished()
    assert await reader.answer.inner_text() == "Set it fast. 1\n\nThen a[2] listen. 2"
    # The paragraph was not rendered again.
    assert await first.evaluate("(node) => node.isConnected")
    await reader.turn_contains("From the whole library.")
    await reader.announced("Answer: Set it fast.")

    await reader.mark(2).click()
    cited = (await reader.panel.inner_text()).splitlines()
    source = await reader.turn.locator('.row[data-source="2"]').inner_text()
    assert source.splitlines()[1] in cited
    await expect(reader.panel.get_by_role("heading")).to_be_focused()
    await reader.page.keyboard.press("Escape")
    await expect(reader.panel).to_be_hidden()
    await expect(reader.mark(2)).to_be_focused()
    assert reader.foreign_requests == []


async def test_a_moment_links_to_its_second_in_the_video(
    reader: Reader, model: ScriptedModel
) -> None:
    model.answers(say("By ear. [1][2][3]"))
    await reader.ask()
    await reader.finished()
    rows = reader.turn.locator(".row", has_text="Setting a sidechain compressor by ear")
    moment = rows.first
    await expect(moment.locator(".moment")).to_have_text("0:24")
    await moment.click()
    link = reader.panel.get_by_role("link")
    await expect(link).to_have_attribute(
        "href", "https://example.com/watch/mv-sidechain-by-ear#t=24"
    )
    await expect(link).to_contain_text("Watch from 0:24")
    await expect(reader.panel).to_contain_text("Mara Voss")


async def test_the_panel_scrolls_to_the_top_for_each_source(
    reader: Reader, model: ScriptedModel
) -> None:
    model.answers(say("By ear. [1][2]"))
    await reader.page.set_viewport_size({"width": 640, "height": 320})
    await reader.ask()
    await reader.finished()
    await reader.mark(1).click()
    scrolled = "(panel) => { panel.scrollTop = 50; return panel.scrollTop; }"
    assert await reader.panel.evaluate(scrolled) == 50
    # Not by mouse: the panel may cover the mark.
    await reader.mark(2).dispatch_event("click")
    await expect(reader.panel.locator("[data-part=number]")).to_have_text("2")
    assert await reader.panel.evaluate("(panel) => panel.scrollTop") == 0


async def test_a_follow_up_continues_the_conversation_and_a_reload_restores_it(
    reader: Reader, service: Client, model: ScriptedModel
) -> None:
    model.answers(say("At first. [1]"), whole("standing alone"), say("And then. [1]"))
    await reader.ask()
    await reader.finished()
    await reader.ask("And the release?")
    await reader.answer_contains("And then.")
    await reader.finished()
    conversation = (await reader.session())["conversation"]
    _, kept, _ = await service.call(
        "GET", f"/api/v1/conversations/{conversation}", headers=await reader.cookie()
    )
    assert [turn["question"] for turn in kept["turns"]] == [QUESTION, "And the release?"]

    before = await reader.turns.all_inner_texts()
    await reader.page.reload()
    await expect(reader.turns).to_have_count(2)
    assert [text.split("\n\n")[:2] for text in await reader.turns.all_inner_texts()] == [
        text.split("\n\n")[:2] for text in before
    ]
    await expect(reader.mark(1)).to_be_visible()

    await reader.page.get_by_role("button", name="New conversation").click()
    await expect(reader.turns).to_have_count(0)
    await expect(reader.question).to_be_focused()
    assert (await reader.session())["conversation"] is None


async def test_escape_stops_the_answer_and_keeps_its_text(
    reader: Reader, model: ScriptedModel
) -> None:
    hold = anyio.Event()
    model.answers(say("As far as here.", hold, " Never."), say("Once more. [1]"))
    await reader.ask()
    await reader.answer_contains("As far as here.")
    await reader.page.keyboard.press("Escape")
    await reader.turn_contains("Stopped.")
    await reader.finished()
    assert await reader.answer.inner_text() == "As far as here."
    with anyio.fail_after(5):
        await model.disconnected.wait()
    await reader.page.get_by_role("button", name="New conversation").click()
    await reader.ask()
    await reader.answer_contains("Once more.")


async def test_everything_can_be_done_with_the_keyboard(
    reader: Reader, model: ScriptedModel
) -> None:
    model.answers(say("Fast. [1]"))
    keys = reader.page.keyboard
    await reader.creator.focus()
    await keys.type("mar")
    await expect(reader.page.get_by_role("option")).to_have_count(1)
    await keys.press("ArrowDown")
    await keys.press("Enter")
    await expect(reader.creator).to_have_value("Mara Voss")
    await reader.question.focus()
    await keys.type("How fast")
    await keys.press("Shift+Enter")
    await keys.type("should the attack of a side-chain be?")
    await keys.press("Enter")
    await reader.finished()
    heading = reader.turn.get_by_role("heading")
    assert await heading.inner_text() == "How fast\nshould the attack of a side-chain be?"
    await expect(reader.question).to_be_focused()
    await reader.turn_contains("From Mara Voss’s own videos and pages.")
    await reader.mark(1).focus()
    await keys.press("Enter")
    await expect(reader.panel).to_be_visible()
    await keys.press("Tab")
    await expect(reader.panel.get_by_role("link")).to_be_focused()
    await keys.press("Escape")
    await expect(reader.mark(1)).to_be_focused()


async def test_enter_that_ends_an_ime_composition_does_not_send(
    reader: Reader, model: ScriptedModel
) -> None:
    model.answers(say("Fast. [1]"))
    await reader.question.focus()
    devtools = await reader.page.context.new_cdp_session(reader.page)
    composed = {"text": "サイドチェイン side-chain", "selectionStart": 3, "selectionEnd": 3}
    await devtools.send("Input.imeSetComposition", composed)
    await reader.question.dispatch_event(
        "keydown", {"key": "Enter", "isComposing": True, "bubbles": True}
    )
    # Safari ends the composition before it reports the Enter key.
    await reader.question.dispatch_event(
        "keydown", {"key": "Enter", "keyCode": 229, "bubbles": True}
    )
    await expect(reader.turns).to_have_count(0)
    await devtools.send("Input.insertText", {"text": "side-chain kick bass attack"})
    await reader.question.press("Enter")
    await reader.answer_contains("Fast.")


async def test_focus_moves_on_when_the_focused_button_disappears(
    reader: Reader, model: ScriptedModel
) -> None:
    hold = anyio.Event()
    alone = whole("standing alone")
    model.answers(say("One.", hold), alone, say(finish="length"), alone, say("Two. [1]"))
    await reader.ask()
    await reader.answer_contains("One.")
    await reader.stop.focus()
    hold.set()
    await expect(reader.send).to_be_focused()
    await reader.ask()
    await reader.turn_contains("The language model failed.")
    await reader.button("Ask again").press("Enter")
    await expect(reader.question).to_be_focused()
    await reader.answer_contains("Two.")


async def test_the_on_screen_keyboard_closes_when_a_question_is_sent(
    chromium: Browser, service: Client, model: ScriptedModel
) -> None:
    model.answers(say("Fast. [1]"))
    phone = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}
    async with reading(chromium, service.url, **phone) as reader:
        await reader.ask()
        await reader.finished()
        await expect(reader.question).not_to_be_focused()


async def test_copy_includes_the_cited_sources(
    chromium: Browser, service: Client, model: ScriptedModel
) -> None:
    model.answers(say("Set it **fast**. [1]"))
    allowed: Any = ["clipboard-read", "clipboard-write"]
    async with reading(chromium, service.url, permissions=allowed) as reader:
        await reader.ask()
        await reader.finished()
        await reader.button("Copy").click()
        await expect(reader.button("Copied")).to_be_visible()
        copied = await reader.page.evaluate("navigator.clipboard.readText()")
    answer, sources = copied.split("\n\n")
    assert answer == "Set it **fast**. [1]"
    assert sources.startswith("[1] ")
    assert "https://example.com/" in sources


async def test_finished_blocks_of_a_long_answer_are_not_rendered_again(
    reader: Reader, model: ScriptedModel
) -> None:
    hold = anyio.Event()
    paragraphs = [f"Paragraph {number}, *{number}*. [1]\n\n" for number in range(200)]
    tokens = [token for text in paragraphs for token in text.replace(" ", " \0").split("\0")]
    model.answers(say(*tokens[:402], hold, *tokens[402:]))
    await reader.ask()
    await reader.answer_contains("Paragraph 100,")
    settled = await reader.page.evaluate(WATCH_BLOCKS)
    hold.set()
    await reader.finished()
    await reader.answer_contains("Paragraph 199,")
    touched = await reader.page.evaluate("Array.from(touched)")
    assert settled == 101
    # Only the last block was incomplete.
    assert touched == [settled - 1]
