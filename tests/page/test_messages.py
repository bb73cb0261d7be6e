"""Texts that say whose material answered and what a source is."""

from typing import Any

import pytest
from playwright.async_api import Route, expect

from tests.page.reader import Reader
from tests.scripted_model import ScriptedModel, say

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("kind", "start", "what", "way"),
    [
        ("moment", 48, "A moment in a video", "Watch from 0:48"),
        ("moment", None, "A video", "Watch the video"),
        ("page", None, "A page", "Read the page"),
    ],
)
async def test_a_source_is_labelled_by_its_kind(
    reader: Reader, model: ScriptedModel, kind: str, start: int | None, what: str, way: str
) -> None:
    async def replaced(route: Route) -> None:
        reply = await route.fetch()
        body = await reply.json()
        link = "https://www.youtube.com/watch?v=abcdefghijk"
        cited = {"kind": kind, "start_seconds": start, "end_seconds": start, "url": link}
        body["turns"][0]["citations"][0] |= cited
        await route.fulfill(response=reply, json=body)

    model.answers(say("By ear. [1]"))
    await reader.ask()
    await reader.finished()
    await reader.page.route("**/api/v1/conversations/*", replaced)
    await reader.page.reload()
    await reader.mark(1).click()
    await expect(reader.panel.locator("[data-part=kind]")).to_have_text(what)
    await expect(reader.panel.get_by_role("link")).to_contain_text(f"{way} www.youtube.com")


@pytest.mark.parametrize(
    ("creator", "words"),
    [
        ("Mara Voss", "From Mara Voss’s own videos and pages."),
        ("Zoë Tanaka", "Zoë Tanaka has nothing about this. This is from the whole library."),
        ("Some One", "No creator is called “Some One”, so this is from the whole library."),
    ],
)
async def test_the_scope_line_says_whose_material_answered(
    reader: Reader, model: ScriptedModel, creator: str, words: str
) -> None:
    model.answers(say("Fast. [1]"))
    await reader.creator.fill(creator)
    await reader.ask()
    await reader.finished()
    await reader.turn_contains(words)
    await reader.turn_contains(f"Asked {creator}")


@pytest.mark.parametrize(
    ("tier", "scope", "words"),
    [
        ("creator", {}, "From Zoë’s own videos and pages."),
        (
            "domain",
            {},
            "Zoë has nothing about this. This is from other creators on the same topic.",
        ),
        (
            "domain",
            {"verdict": "others say more"},
            "Zoë says little about this. This is from other creators on the same topic.",
        ),
        ("global", {}, "Zoë has nothing about this. This is from the whole library."),
        ("none", {}, ""),
        ("none", {"creator": None}, "No creator is called “Zoë”."),
        ("none", {"creator": None, "tiers": []}, ""),
        ("creator", None, "From Zoë’s own videos and pages."),
        ("domain", None, "Not from Zoë: this is from other creators on the same topic."),
        ("global", None, "Not from Zoë: this is from the whole library."),
        ("none", None, ""),
    ],
)
async def test_each_tier_has_its_own_text(
    reader: Reader, tier: str, scope: dict[str, Any] | None, words: str
) -> None:
    if scope is not None:
        verdict = scope.get("verdict", "too little")
        own = {"tier": "creator", "hits": 0, "confidence": 0.1, "verdict": verdict}
        scope = {"creator": {"slug": "zoe", "name": "Zoë"}, "tiers": [own], **scope}
    text = await reader.page.evaluate(
        "async ([from, ...given]) => (await import(from)).scopeText(...given)",
        [
            await reader.module("messages.js"),
            {"cascade_tier": tier, "finish_reason": "refused" if tier == "none" else "stop"},
            "Zoë",
            scope,
        ],
    )
    assert text == words


async def test_a_right_to_left_name_does_not_reorder_the_sentence(reader: Reader) -> None:
    text = await reader.page.evaluate(
        "async ([from, name]) =>"
        " (await import(from)).scopeText({ cascade_tier: 'creator' }, name, null)",
        [await reader.module("messages.js"), "\u202eeoZ\u2069\u2066דוד"],
    )
    assert text == "From \u2068eoZדוד\u2069’s own videos and pages."


async def test_a_refused_question_says_once_that_the_library_has_nothing(reader: Reader) -> None:
    await reader.ask("What is the capital of Mongolia?")
    await reader.answer_contains("I found nothing about that in this library.")
    await reader.finished()
    await expect(reader.turn.locator("[data-part=found]")).to_be_hidden()
    await expect(reader.turn.locator(".note")).to_be_hidden()


async def test_small_talk_gets_a_friendly_line_and_starts_no_conversation(reader: Reader) -> None:
    await reader.ask("Hi there!")
    await reader.answer_contains("Hello! Ask me about anything")
    await reader.finished()
    for part in ("found", "note", "actions", "error"):
        await expect(reader.turn.locator(f"[data-part={part}]")).to_be_hidden()
    assert (await reader.session())["conversation"] is None


async def test_small_talk_keeps_the_conversation(reader: Reader, model: ScriptedModel) -> None:
    model.answers(say("By ear. [1]"))
    await reader.ask()
    await reader.finished()
    conversation = (await reader.session())["conversation"]
    await reader.ask("Thanks!")
    await reader.answer_contains("You're welcome.")
    await reader.finished()
    assert (await reader.session())["conversation"] == conversation


async def test_a_reworked_answer_is_from_the_conversation(
    reader: Reader, model: ScriptedModel
) -> None:
    model.answers(say("By ear. [1]"), say("Ears."))
    await reader.ask()
    await reader.finished()
    await reader.ask("Make it shorter.")
    await reader.answer_contains("Ears.")
    await reader.turn_contains("From the conversation so far.")


@pytest.mark.parametrize(
    ("tier", "count", "cited", "words"),
    [
        ("none", 3, 0, "3 closest moments"),
        ("none", 1, 2, "1 more moment"),
        ("global", 1, 0, "1 source (none cited)"),
        ("global", 2, 1, "2 more sources (not cited)"),
    ],
)
async def test_sources_that_are_not_cited_are_labelled(
    reader: Reader, tier: str, count: int, cited: int, words: str
) -> None:
    text = await reader.page.evaluate(
        "async ([from, ...given]) => (await import(from)).uncitedText(...given)",
        [await reader.module("messages.js"), count, cited, {"cascade_tier": tier}],
    )
    assert text == words
