"""Hostile answers and sources cannot run scripts, load resources, mislead or fake citations."""

import re
from collections.abc import AsyncIterator

import asyncpg
import pytest
from msgspec.structs import replace
from playwright.async_api import Browser, Route, expect

from app.config import Settings
from tests.page.payloads import FAKES, IMAGES, LINKS, OVERSIZED, SCRIPT
from tests.page.reader import Reader, reading
from tests.scripted_model import ScriptedModel, say
from tests.servers import SharedServers, ingest_sample
from tests.service import running

pytestmark = pytest.mark.anyio

# The elements, attributes and classes that an answer may contain.
ELEMENTS = set(
    "A BDI BLOCKQUOTE BR BUTTON CODE DEL DIV EM H3 HR LI OL P PRE STRONG TABLE TBODY TD TH THEAD"
    " TR UL".split()
)
ATTRIBUTES = set(
    "a[href] a[rel] a[target] button[aria-haspopup] button[aria-label] button[class]"
    " button[data-source] button[type] p[class] div[aria-label] div[class] div[role] div[tabindex]"
    " ol[start] bdi[class] bdi[dir]".split()
) | {f"{name}[dir]" for name in "blockquote h3 li ol p table td th ul".split()}
CLASSES = {"mark", "wide", "host", "plain"}


@pytest.mark.parametrize(
    "payloads", [SCRIPT, LINKS, IMAGES, FAKES], ids=["script", "links", "images", "fakes"]
)
async def test_a_hostile_answer_becomes_only_safe_elements(
    reader: Reader, model: ScriptedModel, payloads: list[str]
) -> None:
    # In pieces of three characters, so that incomplete markup is rendered too.
    model.answers(*(say(*pieces(payload), "\n\n.") for payload in payloads))
    for payload in payloads:
        await reader.ask()
        await reader.finished()
        found = await reader.page.evaluate(INVENTORY)
        assert set(found["elements"]) <= ELEMENTS, payload
        assert set(found["attributes"]) <= ATTRIBUTES, payload
        assert set(found["classes"]) <= CLASSES, payload
        assert found["links"] == [], payload
        assert found["marks"] == 0, payload
        await reader.page.get_by_role("button", name="New conversation").click()
    assert await reader.page.evaluate("window.hacked") is None
    assert reader.foreign_requests == []


@pytest.mark.parametrize("shape", OVERSIZED)
async def test_an_oversized_document_is_shown_as_text(
    reader: Reader, model: ScriptedModel, shape: str
) -> None:
    text = OVERSIZED[shape]
    model.answers(say(text[:-10], text[-10:]))
    await reader.ask()
    await reader.answer_contains("The end.")
    await reader.finished()
    await reader.turn_contains("From the whole library.")


# The sources of the sample library are on this host.
@pytest.mark.parametrize(
    ("markdown", "shown"),
    [
        ("[see](https://example.com/x)", "see (example.com)"),
        ("[see](https://EXAMPLE.com:443/x)", "see (example.com)"),
        ("[example.com](https://example.com)", "example.com"),
        ("[example.com/a](http://example.com/a)", "example.com/a"),
        ("https://example.com/a?b=c", "https://example.com/a?b=c"),
        (
            "[https://good.example/?example.com](https://example.com)",
            "https://good.example/?example.com (example.com)",
        ),
        (
            "[example.com.good.example](https://example.com)",
            "example.com.good.example (example.com)",
        ),
        (
            "https://good.example@example.com/x",
            "https://good.example@example.com/x (example.com)",
        ),
        ("[\u202eelpmaxe.doog](https://example.com)", "\u202eelpmaxe.doog (example.com)"),
    ],
)
async def test_a_link_to_a_source_shows_its_host_unless_its_text_does(
    reader: Reader, model: ScriptedModel, markdown: str, shown: str
) -> None:
    model.answers(say(markdown))
    await reader.ask()
    await reader.finished()
    link = reader.answer.get_by_role("link")
    await expect(link).to_have_text(shown)
    # Direction marks in the text do not reorder the host.
    for part in (link, link.locator(".host")):
        if await part.count():
            assert await part.evaluate(ISOLATION) == "isolate"


@pytest.mark.parametrize(
    ("markdown", "shown"),
    [
        ("[see](https://evil.example/?q=secret)", "see (https://evil.example/?q=secret)"),
        ("https://evil.example/a?b=c", "https://evil.example/a?b=c"),
        ("<https://evil.example/a>", "https://evil.example/a"),
        ("www.evil.example", "www.evil.example"),
        ("[evil.example/a](https://evil.example/b)", "evil.example/a (https://evil.example/b)"),
        ("https://example.com@evil.example/x", "https://example.com@evil.example/x"),
        ("[see](https://example.com:8443/)", "see (https://example.com:8443/)"),
        ("[see](https://www.example.com/)", "see (https://www.example.com/)"),
        ("[see](https://example.com.evil.example/)", "see (https://example.com.evil.example/)"),
        ("[аpple.example](https://аpple.example)", "аpple.example (https://xn--pple-43d.example/)"),
        ("[\u202eelpmaxe](https://evil.example)", "\u202eelpmaxe (https://evil.example/)"),
        ("![a cat](https://evil.example/cat.png)", "a cat"),
    ],
)
async def test_a_link_to_any_other_host_is_text(
    reader: Reader, model: ScriptedModel, markdown: str, shown: str
) -> None:
    model.answers(say(markdown, " [1]"))
    await reader.ask()
    await reader.finished()
    for _ in ("asked", "restored"):
        await expect(reader.answer.get_by_role("link")).to_have_count(0)
        await expect(reader.answer).to_have_text(f"{shown} 1")
        for part in await reader.answer.locator("bdi").all():
            assert await part.evaluate(ISOLATION) == "isolate"
        await reader.page.reload()
    assert reader.foreign_requests == []


ISOLATION = "(node) => getComputedStyle(node).unicodeBidi"
INVENTORY = """() => {
  const all = Array.from(document.querySelectorAll(".answer *"));
  const named = (node) =>
    Array.from(node.attributes, ({ name }) => `${node.localName}[${name}]`);
  return {
    elements: all.map((node) => node.nodeName),
    attributes: all.flatMap(named),
    classes: all.flatMap((node) => Array.from(node.classList)),
    links: all.filter((node) => node.href !== undefined).map((node) => node.href),
    marks: document.querySelectorAll(".mark").length,
  };
}"""


async def test_citations_of_the_service_become_marks_at_their_positions(
    reader: Reader, model: ScriptedModel
) -> None:
    text = (
        "𝄞 Clef. [1] \\[1\\] `[2]` **bold**[2] https://example.com/a[3] [see [1] here](https://example.com/b)"
        "\n\n1. [1]: https://example.com/x"
    )
    model.answers(say(*pieces(text)))
    await reader.ask()
    await reader.finished()
    marks = await reader.answer.locator(".mark").all_inner_texts()
    assert marks == ["1", "2", "3", "1", "1"]
    assert await reader.answer.locator("a .mark").count() == 0
    assert await reader.answer.locator("p").first.inner_text() == (
        "𝄞 Clef. 1 [1] [2] bold2 https://example.com/a3 see here (example.com)1"
    )


async def test_a_marker_that_is_not_a_citation_of_the_service_stays_text(
    reader: Reader, model: ScriptedModel
) -> None:
    async def remove_second_citation(route: Route) -> None:
        reply = await route.fetch()
        body = re.sub(r'("citations":\[\{[^}]*\}),\{[^]]*\]', r"\1]", await reply.text())
        await route.fulfill(response=reply, body=body)

    await reader.page.route("**/api/v1/chat", remove_second_citation)
    model.answers(say("Said [1] and forged [1]."))
    await reader.ask()
    await reader.finished()
    await expect(reader.answer.locator(".mark")).to_have_count(1)
    assert await reader.answer.inner_text() == "Said 1 and forged [1]."


@pytest.fixture
async def hostile_settings(
    model_settings: Settings, shared: SharedServers
) -> AsyncIterator[Settings]:
    """Settings of a service whose library has hostile names, titles and URLs."""
    url = shared.create_database()
    await ingest_sample(url)
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("UPDATE creators SET name = $1 || name", '"><img src=x>\u202e ')
        await connection.execute(
            "UPDATE documents SET title = $1 || title", "<svg onload=hacked=1>\u202e"
        )
        await connection.execute(
            "UPDATE documents SET url = $1 WHERE kind = 'page'", "javascript:x"
        )
        await connection.execute(
            "UPDATE documents SET url = $1 WHERE kind = 'video'",
            "https://www.youtube.com/watch?v=abcdefghijk",
        )
    finally:
        await connection.close()
    yield replace(model_settings, database_url=url)
    shared.drop_database(url)


async def test_a_hostile_source_is_shown_as_text_and_videos_load_only_after_a_click(
    chromium: Browser, hostile_settings: Settings, model: ScriptedModel
) -> None:
    model.answers(say("By ear. [1][2][3]"))
    async with (
        running(hostile_settings) as service,
        reading(chromium, service.url) as reader,
    ):
        await reader.page.route(
            "https://www.youtube-nocookie.com/**",
            lambda route: route.fulfill(content_type="text/html", body="<p>It plays.</p>"),
        )
        await reader.creator.press("ArrowDown")
        await expect(reader.page.get_by_role("option").first).to_contain_text('"><img src=x>')
        await reader.creator.press("Escape")
        await reader.ask()
        await reader.finished()

        page = reader.turn.locator(".row", has_text="Page").first
        await page.click()
        # Direction marks in names and titles do not reorder what is beside them.
        named = reader.page.locator("#panel [data-part]:is(h2, [dir]), .title, .creator, .name")
        assert {await element.evaluate(ISOLATION) for element in await named.all()} == {"isolate"}
        await expect(reader.panel.get_by_role("heading")).to_contain_text("<svg onload=hacked=1>")
        await expect(reader.panel.get_by_role("link")).to_have_count(0)
        await expect(reader.panel).to_contain_text("no web address")

        await reader.turn.locator(".row", has_text="0:24").click()
        await expect(reader.panel.get_by_role("link")).to_have_attribute(
            "href", "https://www.youtube.com/watch?v=abcdefghijk&t=24"
        )
        assert reader.foreign_requests == []
        await reader.panel.get_by_role("button", name="Play here").click()
        await expect(reader.page.frame_locator("iframe").get_by_text("It plays.")).to_be_visible()
        assert reader.foreign_requests == [
            "https://www.youtube-nocookie.com/embed/abcdefghijk?autoplay=1&rel=0&start=24"
        ]
        await reader.panel.get_by_role("button", name="Close").click()
        await expect(reader.page.locator("iframe")).to_have_count(0)
        assert await reader.page.evaluate("window.hacked") is None


async def test_only_video_urls_have_a_player(reader: Reader) -> None:
    players = await reader.page.evaluate(
        """async ([from, addresses]) => {
          const { playerOf } = await import(from);
          return addresses.map((address) => playerOf(address, 83.9)?.src ?? null);
        }""",
        [
            await reader.module("player.js"),
            [
                "https://youtu.be/abcdefghijk?t=83",
                "https://m.youtube.com/shorts/abcdefghijk",
                "https://vimeo.com/12345/0a1b2c?x=y#t=83",
                "https://player.vimeo.com/video/12345",
                "https://www.youtube.com/watch?v=../../evil",
                "https://www.youtube.com.evil.example/watch?v=abcdefghijk",
                "https://evil.example/https://youtu.be/abcdefghijk",
                "javascript:alert(1)//youtu.be/abcdefghijk",
                "https://vimeo.com/channels/staffpicks",
                None,
            ],
        ],
    )
    youtube = "https://www.youtube-nocookie.com/embed/abcdefghijk?autoplay=1&rel=0&start=83"
    vimeo = "https://player.vimeo.com/video/12345?autoplay=1&dnt=1"
    assert players == [
        youtube,
        youtube,
        f"{vimeo}&h=0a1b2c#t=83s",
        f"{vimeo}#t=83s",
        *[None] * 6,
    ]


def pieces(text: str) -> list[str]:
    return [text[at : at + 3] for at in range(0, len(text), 3)]
