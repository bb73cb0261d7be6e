"""Parse Markdown into front matter and blocks of plain text."""

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
_LIST_ITEM = re.compile(r"[ \t]*-[ \t]+(.*?)[ \t]*")
# Markdown would parse `[Audience]: 00:01:23` as a link reference definition.
_BRACKETED_NAME = re.compile(r"^\[(?=[^\]\n]+\]:\s*\d+:\d)", re.MULTILINE)
_FOOTNOTE_LABEL = re.compile(r"^ {0,3}\[\^[\w-]+\]:[ \t]*", re.MULTILINE)
_FOOTNOTE_REFERENCE = re.compile(r" ?\[\^[\w-]+\]")
_TAG = re.compile(r"<!--.*?-->|</?[A-Za-z][^<>]*>", re.DOTALL)
_BLOCK_TAG = re.compile(r"</?(?:td|th|tr|br|p|div|li|h\d)\b[^<>]*>", re.IGNORECASE)
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


def front_matter(text: str) -> tuple[dict[str, object], str]:
    """Split a text into its front matter and the rest. Invalid YAML is read line by line."""
    if not text.lstrip().startswith("---"):
        return {}, text
    import frontmatter

    try:
        metadata, content = frontmatter.parse(text)
    except Exception:  # not only YAMLError: also invalid dates and numbers
        _, block, *rest = _RULE.split(text.lstrip(), maxsplit=2)
        return _parse_lines(block), "".join(rest)
    # The text between two rules need not be front matter.
    return (metadata, content) if metadata else ({}, text)


def _parse_lines(block: str) -> dict[str, object]:
    """Read `key: value` and the `- item` lines that follow a key without a value."""
    metadata: dict[str, object] = {}
    items: list[str] = []
    for line in block.split("\n"):
        if pair := _KEY_AND_VALUE.fullmatch(line):
            items = []
            metadata[pair[1]] = pair[2].strip("'\"") or items
        elif item := _LIST_ITEM.fullmatch(line):
            items.append(item[1].strip("'\""))
    return {key: value for key, value in metadata.items() if value}


def front_matter_values(metadata: Mapping[str, object], *keys: str) -> list[str]:
    """Return the values of the first of these keys that is in the front matter and not empty."""
    for key in keys:
        value = metadata.get(key)
        values = value if isinstance(value, list) else [value]
        texts = [" ".join(str(one).split()) for one in values if one not in (None, "")]
        if any(texts):
            return [text for text in texts if text]
    return []


def parse_blocks(text: str, title: str = "") -> list[Block]:
    """Split Markdown without front matter into blocks of plain text, without markup and images.

    Each has the path of its headings, such as `Section > Subsection`; a first-level heading that
    repeats the `title` is left out.
    """
    blocks: list[Block] = []
    path: list[tuple[int, str]] = []
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
        elif not (token.type == "inline" and tokens[n - 1].type == "heading_open"):
            blocks += _token_blocks(tokens, n, " > ".join(name for _, name in path))
    return blocks


def first_heading(text: str) -> str | None:
    """Return the text of the first heading, if it has any."""
    tokens = _parser().parse(text)
    for opening, inline in pairwise(tokens):
        if opening.type == "heading_open":
            return _heading_text(inline) or None
    return None


def _heading_text(inline: "Token") -> str:
    return " ".join(_plain_text(inline.children or ()).split())


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
        rows = _TAG.sub("", _BLOCK_TAG.sub("\n", token.content)).split("\n")
        for row in rows:
            if row.strip():
                yield Block((unescape(row).strip(),), heading)
    elif token.type == "tr_open":
        end = next(m for m in range(n, len(tokens)) if tokens[m].type == "tr_close")
        cells = [_plain_text(cell.children or ()) for cell in tokens[n:end] if cell.children]
        yield Block((" | ".join(cells),), heading)
    elif token.type == "inline" and tokens[n - 1].type not in ("td_open", "th_open"):
        yield from _paragraph_block(token.children or (), heading)


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
