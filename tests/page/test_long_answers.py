"""Answers that take a Markdown parser too long are shown, and the page stays responsive."""

from random import Random

import pytest
from playwright.async_api import expect

from tests.page.reader import Reader
from tests.scripted_model import ScriptedModel, say

pytestmark = pytest.mark.anyio

MEGABYTE = 1_000_000
# Rendering takes at most this many times as long as that of ordinary text.
RATIO = 10
ORDINARY = (
    "Some **words** of an ordinary paragraph, with `code` and a mark. [1]\n\n- One\n- Two\n\n"
)
# Each is repeated.
HOSTILE = (
    *("[", "![", "[](", "[a](<", "*a", "**a *a ", "*a_", "a__b", "~~a", "`a", ">", "> ", "- "),
    *("<", "<a ", "<!--", "&", "http://a", "www.", "a@", "a.", "a-_.+", " ", "\n", "\\", "|"),
    *("|a|b|\n|-|-|\n", "a|b\n-|-\n", "x|\n", "# x\n", "a\n===\n", "* ", "1. ", "1. a\n", "```\n"),
    *("[a]: b\n", "[1]", "*[", "*", "_", "a**b**", "[a](", "<a b='", "<br", "- [ ] ", "> a\nb\n\n"),
    *(
        "- a\n\n  > b\n\n",
        "\t- x\n",
        "  - x\n    ",
        "\r",
        "\r\n\r\n",
        "\u202e",
        "é\u0301",
        "中",
        "𝄞",
    ),
)

RENDER = """async ([from, unit, length]) => {
  const { chunksOfNodes } = await import(from);
  const text = unit.repeat(length / unit.length);
  const marks = [{ number: 1, start: 0, end: 3 }];
  const started = performance.now();
  const chunks = chunksOfNodes(text, marks, () => document.createElement("button"), new Set());
  const time = performance.now() - started;
  const nodes = chunks.flatMap((chunk) => chunk.nodes);
  return {
    time,
    complete: chunks.reduce((sum, chunk) => sum + chunk.length, 0) === text.length,
    shown: nodes.reduce((sum, node) => sum + node.textContent.length, 0),
  };
}"""


async def test_any_megabyte_is_rendered_about_as_fast_as_ordinary_text(reader: Reader) -> None:
    module = await reader.module("markdown.js")
    ordinary = await reader.page.evaluate(RENDER, [module, ORDINARY, MEGABYTE])
    assert ordinary["complete"]
    for unit in HOSTILE:
        found = await reader.page.evaluate(RENDER, [module, unit, MEGABYTE])
        assert found["complete"], unit
        assert found["time"] < RATIO * ordinary["time"], unit
        if not unit.isspace():
            # Most patterns are shown as they are; some are links, lists or tables.
            assert found["shown"] > 0, unit


SPLIT = """async ([from, text, cuts]) => {
  const { chunksOf } = await import(from);
  const whole = Array.from(chunksOf(text));
  const unstable = cuts.filter((cut) => {
    const settled = Array.from(chunksOf(text.slice(0, cut))).slice(0, -2);
    return settled.some((chunk, index) => chunk !== whole[index]);
  });
  return { joined: whole.join(""), longest: Math.max(...whole.map((one) => one.length)), unstable };
}"""
PIECES = ["word ", "**Bold** ", "- item\n", "1. one\n", "2024", "\n", "\n\n", "```\n", "~~~~ js\n"]
PIECES += ["  ", "> quote\n", "x" * 3_000, "𝄞" * 5_000, "\r\n\r\n", "| a | b |\n", "`", "[1]", "\t"]


async def test_all_chunks_but_two_stay_the_same_while_a_text_grows(reader: Reader) -> None:
    module = await reader.module("chunks.js")
    for seed in range(10):
        rng = Random(seed)  # noqa: S311 - not a secret
        weights = [rng.random() ** 3 for _ in PIECES]
        text = "".join(rng.choices(PIECES, weights, k=1_000))[:100_000]
        units = len(text.encode("utf-16-le")) // 2
        cuts = [rng.randrange(units) for _ in range(200)]
        found = await reader.page.evaluate(SPLIT, [module, text, cuts])
        assert found["joined"] == text
        assert found["longest"] <= 16_000
        assert found["unstable"] == [], seed


LONG_TASKS = """() => {
  window.longest = 0;
  new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) longest = Math.max(longest, duration);
  }).observe({ type: "longtask" });
}"""


@pytest.mark.parametrize("unit", ["*a_", "# x\n", "> a\nb\n\n", "[a](https://a.example) "])
async def test_a_long_answer_is_shown_while_it_streams(
    reader: Reader, model: ScriptedModel, unit: str
) -> None:
    module = await reader.module("markdown.js")
    ordinary = await reader.page.evaluate(RENDER, [module, ORDINARY, MEGABYTE])
    await reader.page.evaluate(LONG_TASKS)
    pieces = [unit * 100] * (64_000 // len(unit) // 100)
    model.answers(say("Begin. ", *pieces, "\n\nEnd."))
    await reader.ask()
    await reader.answer_contains("End.")
    await reader.finished()
    await reader.answer_contains("Begin.")
    assert await reader.page.evaluate("longest") < RATIO * ordinary["time"]


async def test_only_the_costly_blocks_of_an_answer_are_shown_as_they_are(
    reader: Reader, model: ScriptedModel
) -> None:
    costly = "*a_" * 900
    model.answers(say("Set it **fast**. [1]\n\n", costly, "\n\nBy ear. [1]"))
    await reader.ask()
    await reader.finished()
    await expect(reader.answer.locator("strong")).to_have_text("fast")
    await expect(reader.answer.locator(".plain")).to_have_text(costly)
    await expect(reader.answer.locator(".mark")).to_have_count(2)
