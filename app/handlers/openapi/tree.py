"""Text and elements come in; elements of an HTML page go out.

A page is built as a tree and never as text, so nothing that is told can become markup.
"""

from collections.abc import Iterable, Iterator
from typing import TypeAlias
from xml.etree.ElementTree import Element, tostring

Node: TypeAlias = Element | str
Cell: TypeAlias = str | Iterable[Node]


def e(tag: str, *children: Node, **attributes: str) -> Element:
    """Make an element; an underscore in an attribute's name stands for a hyphen."""
    element = Element(
        tag, {name.strip("_").replace("_", "-"): value for name, value in attributes.items()}
    )
    for child in children:
        if isinstance(child, Element):
            element.append(child)
        elif len(element):
            element[-1].tail = (element[-1].tail or "") + child
        else:
            element.text = (element.text or "") + child
    return element


def html(root: Element) -> str:
    """Write a whole page."""
    return f"<!DOCTYPE html>\n{tostring(root, encoding='unicode', method='html')}\n"


def text(words: str) -> Iterator[Node]:
    """Mark up what stands between backticks as code."""
    for number, part in enumerate(words.split("`")):
        yield e("code", part) if number % 2 else part


def joined(nodes: Iterable[Node], by: str = ", ") -> Iterator[Node]:
    """Put text between nodes."""
    for number, node in enumerate(nodes):
        yield from ([by] if number else [])
        yield node


def table(heads: tuple[str, str, str], rows: Iterable[tuple[Cell, Cell, Cell]]) -> Element:
    """Make a table of three columns."""
    return e(
        "table",
        e("thead", e("tr", *(e("th", head, scope="col") for head in heads))),
        e("tbody", *(e("tr", *(e("td", *cell) for cell in row)) for row in rows)),
    )
