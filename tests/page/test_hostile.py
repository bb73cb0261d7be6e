"""A hostile model or source runs no script, loads nothing, leads nowhere, and fakes no citation."""

import re
from collections.abc import AsyncIterator

import asyncpg
import pytest
from msgspec.structs import replace
from playwright.async_api import Browser, Route, expect

from app.settings import Settings
from tests.page.reader import Reader, reading
from tests.scripted_model import ScriptedModel, say
from tests.servers import SharedServers, ingest_sample
from tests.service import running

pytestmark = pytest.mark.anyio

# What an answer may be made of.
ELEMENTS = set(
    "A BDI BLOCKQUOTE BR BUTTON CODE DEL DIV EM H3 HR LI OL P PRE STRONG TABLE TBODY TD TH THEAD"
    " TR UL".split()
)
ATTRIBUTES = set(
    "a[href] a[rel] a[target] button[aria-haspopup] button[aria-label] button[class]"
    " button[data-source] button[type] div[aria-label] div[class] div[role] div[tabindex]"
    " ol[start] bdi[class] bdi[dir]".split()
) | {f"{name}[dir]" for name in "blockquote h3 li ol p td th ul".split()}
CLASSES = {"mark", "wide", "host"}

SCRIPT = [
    "<script>hacked = 1</script>",
    "<img src=x onerror=hacked=1>",
    '<img src="x" onerror="hacked=1" <p>',
    "<svg onload=hacked=1>",
    "<svg><script>hacked=1</script></svg>",
    "<svg><animate onbegin=hacked=1 attributeName=x dur=1s>",
    "<math><mtext><table><mglyph><style><!--</style><a title='--&gt;<img src onerror=hacked=1>'>",
    "<details open ontoggle=hacked=1>",
    "<iframe srcdoc='<script>parent.hacked=1</script>'></iframe>",
    "<iframe src=javascript:parent.hacked=1>",
    "<object data=javascript:hacked=1>",
    "<embed src=javascript:hacked=1>",
    "<base href=https://evil.example/>",
    "<meta http-equiv=refresh content='0;url=https://evil.example/'>",
    "<template><script>hacked=1</script></template>",
    "<noscript><p title='</noscript><img src=x onerror=hacked=1>'>",
    "<a href='javascript:hacked=1'>press</a>",
    "<div onmouseover=hacked=1 style='position:fixed;inset:0'>over all</div>",
    "<style>@import 'https://evil.example/x.css'; body { display: none }</style>",
    "<link rel=stylesheet href=https://evil.example/x.css>",
    "<x-card onclick=hacked=1 tabindex=0 autofocus onfocus=hacked=1>",
    "\\<img src=x onerror=hacked=1>",
    "&lt;img src=x onerror=hacked=1&gt;",
    "`<img src=x onerror=hacked=1>`",
    "```html\n<img src=x onerror=hacked=1>\n```",
    '```"><img src=x onerror=hacked=1>\ncode\n```',
    "| <img src=x onerror=hacked=1> | b |\n| --- | --- |\n| <script>hacked=1</script> | d |",
    "# <svg onload=hacked=1>",
    '[a](https://x.example/"onmouseover="hacked=1)',
    "[a](https://x.example 'title\" onmouseover=\"hacked=1')",
    '!["onerror="hacked=1](https://evil.example/x.png)',
    "<svg></p><style><a id='</style><img src=x onerror=hacked=1>'>",
    "<form><math><mtext></form><form><mglyph><style></math><img src=x onerror=hacked=1>",
    "<math><annotation-xml encoding='text/html'><style><img src=x onerror=hacked=1></style>",
    "<select><template><img src=x onerror=hacked=1></template></select>",
    "<!--><img src=x onerror=hacked=1>-->",
    "<![CDATA[<img src=x onerror=hacked=1>]]>",
    "<?xml-stylesheet href='javascript:hacked=1'?>",
    "<a href=x id=stop name=body tabindex=1 accesskey=x>press</a>",
    "<form id=turns><input name=append><input name=children></form>",
    "\x00<scr\x00ipt>hacked=1</script>",
]
LINKS = [
    "[press](javascript:hacked=1)",
    "[press](JaVaScRiPt:hacked=1)",
    "[press](\x01javascript:hacked=1)",
    "[press](java\tscript:hacked=1)",
    "[press](&#106;avascript&colon;hacked=1)",
    "[press](<javascript:hacked=1>)",
    "<javascript:hacked=1>",
    "[press](data:text/html,<script>hacked=1</script>)",
    "[press](vbscript:msgbox)",
    "[press](file:///etc/passwd)",
    "[press](blob:https://evil.example/x)",
    "[press](/api/v1/chat)",
    "[press](#question)",
    "[press](//evil.example/x)",
    "[press]\n\n[press]: javascript:hacked=1",
    "[press](feed:javascript:hacked=1)",
    "[press](data:image/svg+xml;base64,PHN2ZyBvbmxvYWQ9aGFja2VkPTE+)",
    "[press](filesystem:https://evil.example/x)",
    "[press](mailto:a@evil.example?body=x)",
    "a@evil.example",
    "<a@evil.example>",
    "[press](tel:+1)",
    "[press](\\\\evil.example/x)",
    "[press](http:evil)",
]
IMAGES = [
    "![a cat](https://evil.example/cat.png)",
    "![a cat](https://evil.example/cat.png 'secret')",
    "![a cat](data:image/svg+xml,<svg onload=hacked=1>)",
    "![a cat][cat]\n\n[cat]: https://evil.example/cat.png",
    "[![a cat](https://evil.example/cat.png)](https://evil.example)",
    "<img src=https://evil.example/cat.png>",
    "<picture><source srcset=https://evil.example/cat.png></picture>",
    "<video poster=https://evil.example/cat.png></video>",
    "<div style='background: url(https://evil.example/cat.png)'>a cat</div>",
]
FAKES = [
    "<cite>1</cite>",
    "<button class=mark data-source=1>1</button>",
    "<sup><a href=https://evil.example>1</a></sup>",
    "\\[1\\]",
    "&#91;1&#93;",
    "［1］",
    "[99]",
    "`[1]`",
    "```\nx[1]\n```",
    "    x[1]",
    "[markffffffffffffffffffffffffn1]",
    "<form id=ask action=https://evil.example><input name=password></form>",
    "<div id=panel class=turn data-part=answer role=dialog>fake</div>",
    "<h1 id=status>fake</h1>",
    "<dialog open>fake</dialog>",
    "<p role=alert>fake</p>",
    "<input type=checkbox> <select><option>fake</select>",
    "- [x] [ ] fake",
    "^1^ ~1~ [¹](https://evil.example)",
    "[`1`](https://evil.example)",
    "\u202e]1[\u202c",
    "[\u200b1]",
    "[0] [1.0] [one]",
]
# Nested deeper than a stack is high; more cells than a browser can show.
TOO_MUCH = {
    "quotes": "> " * 5_000 + "The end.",
    "lists": "- " * 5_000 + "The end.",
    "cells": f"|{'a|' * 3_000}\n|{'-|' * 3_000}\n{'|a' * 3_000}\n" + "|a\n" * 2_000 + "The end.",
}


@pytest.mark.parametrize(
    "payloads", [SCRIPT, LINKS, IMAGES, FAKES], ids=["script", "links", "images", "fakes"]
)
async def test_what_a_hostile_model_writes_is_only_text(
    reader: Reader, model: ScriptedModel, payloads: list[str]
) -> None:
    # In pieces of three characters, so that half of each is drawn as well.
    model.answers(*(say(*pieces(payload), "\n\n.") for payload in payloads))
    for payload in payloads:
        await reader.ask()
        await reader.finished()
        found = await reader.page.evaluate(INVENTORY)
        assert set(found["elements"]) <= ELEMENTS, payload
        assert set(found["attributes"]) <= ATTRIBUTES, payload
        assert set(found["classes"]) <= CLASSES, payload
        assert all(link.startswith(("http://", "https://")) for link in found["links"]), payload
        assert found["marks"] == 0, payload
        await reader.page.get_by_role("button", name="New conversation").click()
    assert await reader.page.evaluate("window.hacked") is None
    assert reader.elsewhere == []


@pytest.mark.parametrize("shape", TOO_MUCH)
async def test_what_is_too_much_to_lay_out_is_shown_as_text(
    reader: Reader, model: ScriptedModel, shape: str
) -> None:
    text = TOO_MUCH[shape]
    model.answers(say(text[:-10], text[-10:]))
    await reader.ask()
    await reader.reads("The end.")
    await reader.finished()
    await reader.is_told("From the whole library.")


@pytest.mark.parametrize(
    ("markdown", "shown"),
    [
        ("[see](https://evil.example/x)", "see (evil.example)"),
        ("[evil.example](https://evil.example)", "evil.example"),
        ("[www.evil.example/a](https://www.evil.example/a)", "www.evil.example/a"),
        ("https://evil.example/a?b=c", "https://evil.example/a?b=c"),
        ("www.evil.example", "www.evil.example"),
        (
            "[https://good.example/?evil.example](https://evil.example)",
            "https://good.example/?evil.example (evil.example)",
        ),
        (
            "[evil.example.good.example](https://evil.example)",
            "evil.example.good.example (evil.example)",
        ),
        (
            "https://good.example@evil.example/x",
            "https://good.example@evil.example/x (evil.example)",
        ),
        ("[аpple.example](https://аpple.example)", "аpple.example (xn--pple-43d.example)"),
        ("[\u202eelpmaxe.doog](https://evil.example)", "\u202eelpmaxe.doog (evil.example)"),
    ],
)
async def test_a_link_says_where_it_leads(
    reader: Reader, model: ScriptedModel, markdown: str, shown: str
) -> None:
    model.answers(say(markdown))
    await reader.ask()
    await reader.finished()
    link = reader.answer.get_by_role("link")
    await expect(link).to_have_text(shown)
    # Nothing that the text holds turns the name around.
    for part in (link, link.locator(".host")):
        if await part.count():
            isolated = await part.evaluate("(node) => getComputedStyle(node).unicodeBidi")
            assert isolated == "isolate"


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


async def test_only_what_the_service_calls_a_mark_becomes_one_and_where_it_says(
    reader: Reader, model: ScriptedModel
) -> None:
    text = (
        "𝄞 Clef. [1] \\[1\\] `[2]` **bold**[2] https://example.com/a[3] [see [1] here](https://example.org)"
        "\n\n1. [1]: https://example.com/x"
    )
    model.answers(say(*pieces(text)))
    await reader.ask()
    await reader.finished()
    marks = await reader.answer.locator(".mark").all_inner_texts()
    assert marks == ["1", "2", "3", "1", "1"]
    assert await reader.answer.locator("a .mark").count() == 0
    assert await reader.answer.locator("p").first.inner_text() == (
        "𝄞 Clef. 1 [1] [2] bold2 https://example.com/a3 see here (example.org)1"
    )


async def test_what_looks_like_a_mark_is_text_where_the_service_does_not_call_it_one(
    reader: Reader, model: ScriptedModel
) -> None:
    async def disown_the_second(route: Route) -> None:
        reply = await route.fetch()
        body = re.sub(r'("citations":\[\{[^}]*\}),\{[^]]*\]', r"\1]", await reply.text())
        await route.fulfill(response=reply, body=body)

    await reader.page.route("**/api/v1/chat", disown_the_second)
    model.answers(say("Said [1] and forged [1]."))
    await reader.ask()
    await reader.finished()
    await expect(reader.answer.locator(".mark")).to_have_count(1)
    assert await reader.answer.inner_text() == "Said 1 and forged [1]."


@pytest.fixture
async def hostile_settings(
    model_settings: Settings, shared: SharedServers
) -> AsyncIterator[Settings]:
    """Settings of a service whose library was written by an enemy, and has videos."""
    url = shared.create_database()
    await ingest_sample(url)
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("UPDATE creators SET name = $1 || name", '"><img src=x> ')
        await connection.execute(
            "UPDATE documents SET title = $1 || title", "<svg onload=hacked=1>"
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


async def test_a_hostile_source_is_only_text_and_a_video_plays_only_when_it_is_asked_to(
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
        await expect(reader.panel.get_by_role("heading")).to_contain_text("<svg onload=hacked=1>")
        await expect(reader.panel.get_by_role("link")).to_have_count(0)
        await expect(reader.panel).to_contain_text("It is not known where")

        await reader.turn.locator(".row", has_text="0:48").click()
        await expect(reader.panel.get_by_role("link")).to_have_attribute(
            "href", "https://www.youtube.com/watch?v=abcdefghijk&t=48"
        )
        assert reader.elsewhere == []
        await reader.panel.get_by_role("button", name="Play it here").click()
        await expect(reader.page.frame_locator("iframe").get_by_text("It plays.")).to_be_visible()
        assert reader.elsewhere == [
            "https://www.youtube-nocookie.com/embed/abcdefghijk?autoplay=1&rel=0&start=48"
        ]
        await reader.panel.get_by_role("button", name="Close").click()
        await expect(reader.page.locator("iframe")).to_have_count(0)
        assert await reader.page.evaluate("window.hacked") is None


async def test_players_are_only_for_addresses_that_are_a_video(reader: Reader) -> None:
    script = await reader.page.locator("script").get_attribute("src") or ""
    players = await reader.page.evaluate(
        """async ([from, addresses]) => {
          const { playerOf } = await import(from);
          return addresses.map((address) => playerOf(address, 83.9)?.src ?? null);
        }""",
        [
            script.replace("page.js", "player.js"),
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
