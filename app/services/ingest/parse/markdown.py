"""Markdown comes in; its front matter and its blocks of plain text go out."""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from html import unescape
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from app.services.search.text import fold

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

_RULE = re.compile(r"^-{3,}\s*$", re.MULTILINE)
_KEY_AND_VALUE = re.compile(r"([A-Za-z][\w-]*)[ \t]*:[ \t]*(.*?)[ \t]*")
_ITEM = re.compile(r"[ \t]*-[ \t]+(.*?)[ \t]*")
# `[Audience]: 00:01:23` would be where a link goes.
_BRACKETED_NAME = re.compile(r"^\[(?=[^\]\n]+\]:\s*\d+:\d)", re.MULTILINE)
_FOOTNOTE = re.compile(r"^ {0,3}\[\^[\w-]+\]:[ \t]*", re.MULTILINE)
_FOOTNOTE_MARK = re.compile(r" ?\[\^[\w-]+\]")
_TAG = re.compile(r"<!--.*?-->|</?[A-Za-z][^<>]*>", re.DOTALL)
_CELLS = re.compile(r"</?(?:td|th|tr|br|p|div|li|h\d)\b[^<>]*>", re.IGNORECASE)
_STAMP = re.compile(r"[\d:.]+")


class Block(Struct, frozen=True):
    """A paragraph, or another piece that sentences never leave.

    `lines` are plain text, one for each line of the source; `lead` is what stands in bold at the
    start (and in the text no more) where a colon or a time follows it, as a speaker's name does.
    """

    lines: tuple[str, ...]
    heading: str = ""
    lead: str | None = None
    kind: Literal["prose", "code"] = "prose"


def front_matter(text: str) -> tuple[dict[str, object], str]:
    """Split a text into its front matter and the rest; what is not quite YAML is read by line."""
    if not text.lstrip().startswith("---"):
        return {}, text
    import frontmatter

    try:
        metadata, content = frontmatter.parse(text)
    except Exception:  # YAML's own errors, and those of the values it makes: no date, no number
        _, block, *rest = _RULE.split(text.lstrip(), maxsplit=2)
        return _by_line(block), "".join(rest)
    # Between two rules there may be no front matter but text.
    return (metadata, content) if metadata else ({}, text)


def _by_line(block: str) -> dict[str, object]:
    """Read `key: value` and the `- item` lines that follow a key without a value."""
    metadata: dict[str, object] = {}
    items: list[str] = []
    for line in block.split("\n"):
        if pair := _KEY_AND_VALUE.fullmatch(line):
            items = []
            metadata[pair[1]] = pair[2].strip("'\"") or items
        elif item := _ITEM.fullmatch(line):
            items.append(item[1].strip("'\""))
    return {key: value for key, value in metadata.items() if value}


def blocks(text: str, title: str = "") -> list[Block]:
    """Split Markdown, its front matter taken off, into blocks of plain text.

    Each has the path of headings it stands under, as `Section > Subsection`; a heading of the
    first level that is the `title` is left out. Pictures and markup are dropped.
    """
    found: list[Block] = []
    path: list[tuple[int, str]] = []
    # A note is a paragraph of its own; `[^1]: one` would be where a link goes.
    text = _FOOTNOTE.sub("\n", _BRACKETED_NAME.sub(r"\\[", text))
    tokens = _parser().parse(text)
    for place, token in enumerate(tokens):
        if token.type == "heading_open":
            heading = " ".join(_plain(tokens[place + 1].children or ()).split())
            level = int(token.tag[1])
            path = [step for step in path if step[0] < level]
            if heading and not (level == 1 and fold(heading) == fold(title)):
                path.append((level, heading))
        elif not (token.type == "inline" and tokens[place - 1].type == "heading_open"):
            found += _blocks_of(token, tokens, place, " > ".join(name for _, name in path))
    return found


def first_heading(text: str) -> str | None:
    """Return the text of the first heading."""
    tokens = _parser().parse(text)
    for opening, inline in pairwise(tokens):
        if opening.type == "heading_open":
            return " ".join(_plain(inline.children or ()).split()) or None
    return None


@cache
def _parser() -> "MarkdownIt":
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark").enable("table")


def _blocks_of(
    token: "Token", tokens: Sequence["Token"], place: int, heading: str
) -> Iterator[Block]:
    if token.type in ("fence", "code_block"):
        for line in token.content.split("\n"):
            if line.strip():
                yield Block((line.strip(),), heading, kind="code")
    elif token.type == "html_block":
        rows = _TAG.sub("", _CELLS.sub("\n", token.content)).split("\n")
        for row in rows:
            if row.strip():
                yield Block((unescape(row).strip(),), heading)
    elif token.type == "tr_open":
        ending = next(n for n in range(place, len(tokens)) if tokens[n].type == "tr_close")
        cells = [_plain(cell.children or ()) for cell in tokens[place:ending] if cell.children]
        yield Block((" | ".join(cells),), heading)
    elif token.type == "inline" and tokens[place - 1].type not in ("td_open", "th_open"):
        yield from _paragraph(token.children or (), heading)


def _paragraph(children: Sequence["Token"], heading: str) -> Iterator[Block]:
    lead, rest = _lead(children)
    lines = tuple(" ".join(line.split()) for line in _plain(rest).split("\n"))
    if lead or any(lines):
        yield Block(tuple(line for line in lines if line), heading, lead)


def _lead(children: Sequence["Token"]) -> tuple[str | None, Sequence["Token"]]:
    """Take off bold words at the start that a colon or a time follows: `**Name:** …`."""
    # Markdown gives an empty text before what it opens with.
    tokens = [token for token in children if token.type != "text" or token.content]
    if not tokens or tokens[0].type != "strong_open":
        return None, children
    closing = next(n for n, token in enumerate(tokens) if token.type == "strong_close")
    name, rest = _plain(tokens[1:closing]).strip(), _plain(tokens[closing + 1 :]).lstrip()
    if name.endswith(":") or rest.startswith(":") or _STAMP.match(rest.lstrip("[(")):
        return name.rstrip(": "), tokens[closing + 1 :]
    return None, children


def _plain(tokens: Sequence["Token"]) -> str:
    """Flatten inline Markdown; the text of a link that is a time is put in brackets."""
    pieces: list[str] = []
    for place, token in enumerate(tokens):
        if token.type in ("text", "code_inline"):
            linked = place and tokens[place - 1].type == "link_open"
            content = token.content
            if token.type == "text":
                content = _FOOTNOTE_MARK.sub("", content)
            pieces.append(f"[{content}]" if linked and _is_time(content) else content)
        elif token.type in ("softbreak", "hardbreak"):
            pieces.append("\n")
        elif token.type == "html_inline":
            pieces.append("\n" if _CELLS.fullmatch(token.content) else "")
    return "".join(pieces)


def _is_time(text: str) -> bool:
    return ":" in text and _STAMP.fullmatch(text) is not None


def words_of(metadata: Mapping[str, object], *keys: str) -> list[str]:
    """Return the first of the front matter's keys that says something, as a list of texts."""
    for key in keys:
        value = metadata.get(key)
        values = value if isinstance(value, list) else [value]
        told = [" ".join(str(one).split()) for one in values if one not in (None, "")]
        if any(told):
            return [one for one in told if one]
    return []
