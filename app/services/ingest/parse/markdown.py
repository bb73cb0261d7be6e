"""Parse Markdown into blocks of plain text."""

import re
from collections.abc import Iterator, Sequence
from functools import cache
from html import unescape
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from app.services.ingest.bounds import MAX_HEADING, MAX_HEADINGS
from app.services.ingest.names import clean_name
from app.services.search.text import fold

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

# Markdown would parse `[Audience]: 00:01:23` as a link reference definition.
_BRACKETED_NAME = re.compile(r"^\[(?=[^\]\n]+\]:\s*\d+:\d)", re.MULTILINE)
_FOOTNOTE_LABEL = re.compile(r"^ {0,3}\[\^[\w-]+\]:[ \t]*", re.MULTILINE)
_FOOTNOTE_REFERENCE = re.compile(r" ?\[\^[\w-]+\]")
_TAG = re.compile(r"</?[A-Za-z][^<>]*>")
_BLOCK_TAG = re.compile(r"</?(?:td|th|tr|br|p|div|li|h\d)\b[^<>]*>", re.IGNORECASE)
# Where a title is looked for, in characters: parsing takes long.
_TITLE_WINDOW = 50_000
_TIME = re.compile(r"[\d:.]+")


class Block(Struct, frozen=True):
    """A paragraph, list item, table row or line of code: no sentence continues past it.

    `lines` are plain text, one for each line of the source. `lead` is bold text at the start that
    a colon or a time follows, as after a speaker's name; the lines do not repeat it.
    """

    lines: tuple[str, ...]
    heading: str = ""
    lead: str | None = None
    kind: Literal["prose", "code"] = "prose"


def parse_blocks(text: str, title: str = "") -> list[Block]:
    """Split Markdown without front matter into blocks of plain text, without markup and images.

    Each has the path of its headings, such as `Section > Subsection`; a first-level heading that
    repeats the `title` is left out.
    """
    blocks: list[Block] = []
    path: list[tuple[int, str]] = []
    headings = ""
    # A footnote becomes a paragraph: Markdown would parse `[^1]: one` as a link definition.
    text = _FOOTNOTE_LABEL.sub("\n", _BRACKETED_NAME.sub(r"\\[", text))
    tokens = _parser().parse(text)
    for n, token in enumerate(tokens):
        if token.type == "heading_open":
            heading = _heading_text(tokens[n + 1])
            level = int(token.tag[1])
            path = [step for step in path if step[0] < level]
            if heading and not (level == 1 and fold(heading) == fold(title)):
                path.append((level, heading))
            headings = " > ".join(name for _, name in path)[:MAX_HEADINGS]
        elif not (token.type == "inline" and tokens[n - 1].type == "heading_open"):
            blocks += _token_blocks(tokens, n, headings)
    return blocks


def first_heading(text: str) -> str | None:
    """Return the text of the first heading, if it has any, unless it is far into the text."""
    tokens = _parser().parse(text[:_TITLE_WINDOW])
    for opening, inline in pairwise(tokens):
        if opening.type == "heading_open":
            return _heading_text(inline) or None
    return None


def _heading_text(inline: "Token") -> str:
    return clean_name(_plain_text(inline.children or ()), MAX_HEADING)


@cache
def _parser() -> "MarkdownIt":
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark").enable("table")


def _token_blocks(tokens: Sequence["Token"], n: int, heading: str) -> Iterator[Block]:
    token = tokens[n]
    if token.type in ("fence", "code_block"):
        for line in token.content.split("\n"):
            if line.strip():
                yield Block((line.strip(),), heading, kind="code")
    elif token.type == "html_block":
        html = _BLOCK_TAG.sub("\n", _without_comments(token.content))
        rows = _TAG.sub("", html).split("\n")
        for row in rows:
            if row.strip():
                yield Block((unescape(row).strip(),), heading)
    elif token.type == "tr_open":
        end = next(m for m in range(n, len(tokens)) if tokens[m].type == "tr_close")
        cells = [_plain_text(cell.children or ()) for cell in tokens[n:end] if cell.children]
        yield Block((" | ".join(cells),), heading)
    elif token.type == "inline" and tokens[n - 1].type not in ("td_open", "th_open"):
        yield from _paragraph_block(token.children or (), heading)


def _without_comments(html: str) -> str:
    # A regular expression would look for the end of each comment that is not closed.
    pieces: list[str] = []
    start = 0
    while (opening := html.find("<!--", start)) >= 0:
        closing = html.find("-->", opening + 4)
        if closing < 0:
            break
        pieces.append(html[start:opening])
        start = closing + 3
    return "".join([*pieces, html[start:]])


def _paragraph_block(children: Sequence["Token"], heading: str) -> Iterator[Block]:
    lead, rest = _split_lead(children)
    lines = tuple(" ".join(line.split()) for line in _plain_text(rest).split("\n"))
    if lead or any(lines):
        yield Block(tuple(line for line in lines if line), heading, lead)


def _split_lead(children: Sequence["Token"]) -> tuple[str | None, Sequence["Token"]]:
    """Split off bold words at the start that a colon or a time follows, as in `**Name:** …`."""
    # markdown-it begins some paragraphs with an empty text token.
    tokens = [token for token in children if token.type != "text" or token.content]
    if not tokens or tokens[0].type != "strong_open":
        return None, children
    closing = next(n for n, token in enumerate(tokens) if token.type == "strong_close")
    name, rest = _plain_text(tokens[1:closing]).strip(), _plain_text(tokens[closing + 1 :]).lstrip()
    if name.endswith(":") or rest.startswith(":") or _TIME.match(rest.lstrip("[(")):
        return name.rstrip(": "), tokens[closing + 1 :]
    return None, children


def _plain_text(tokens: Sequence["Token"]) -> str:
    """Return the text of inline Markdown; a time that is the text of a link gets brackets."""
    pieces: list[str] = []
    for n, token in enumerate(tokens):
        if token.type in ("text", "code_inline"):
            linked = n > 0 and tokens[n - 1].type == "link_open"
            content = token.content
            if token.type == "text":
                content = _FOOTNOTE_REFERENCE.sub("", content)
            pieces.append(f"[{content}]" if linked and _is_time(content) else content)
        elif token.type in ("softbreak", "hardbreak"):
            pieces.append("\n")
        elif token.type == "html_inline":
            pieces.append("\n" if _BLOCK_TAG.fullmatch(token.content) else "")
    return "".join(pieces)


def _is_time(text: str) -> bool:
    return ":" in text and _TIME.fullmatch(text) is not None
