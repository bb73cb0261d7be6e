"""Read the front matter of a page: names with one text or a list of texts each.

YAML has more than that: values that refer to others, and nesting of any depth. A file with a few
kilobytes of either needs gigabytes or crashes a parser, so this one reads YAML's events.
"""

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, TypeAlias

from app.services.ingest.bounds import MAX_FRONT_MATTER_BYTES, MAX_FRONT_MATTER_DEPTH
from app.services.ingest.errors import BrokenFile

if TYPE_CHECKING:
    import yaml

Metadata: TypeAlias = dict[str, str | list[str]]
_Value: TypeAlias = "str | list[str] | dict[str, _Value] | None"

_RULE = re.compile(r"^-{3,}\s*$", re.MULTILINE)
_OPENING = re.compile(rf"\s*{_RULE.pattern}", re.MULTILINE)
_KEY = re.compile(r"[A-Za-z][\w-]*")
_NULL = frozenset({"", "~", "null", "Null", "NULL"})


def front_matter(text: str) -> tuple[Metadata, str]:
    """Split a text into its front matter and the rest. Invalid YAML is read line by line.

    Raises BrokenFile for front matter that is too large, too deep or has anchors.
    """
    opening = _OPENING.match(text)
    closing = opening and _RULE.search(text, opening.end())
    if opening is None or closing is None:
        return {}, text
    block = text[opening.end() : closing.start()]
    if len(block.encode()) > MAX_FRONT_MATTER_BYTES:
        raise BrokenFile(f"has more than {MAX_FRONT_MATTER_BYTES // 1024} KB of front matter")
    metadata = _parse(block)
    # The text between two rules need not be front matter.
    return (metadata, text[closing.end() :].strip()) if metadata else ({}, text)


def front_matter_values(metadata: Mapping[str, str | list[str]], *keys: str) -> list[str]:
    """Return the values of the first of these keys that is in the front matter and not empty."""
    for key in keys:
        value = metadata.get(key, "")
        texts = [" ".join(one.split()) for one in ([value] if isinstance(value, str) else value)]
        if any(texts):
            return [text for text in texts if text]
    return []


def _parse(block: str) -> Metadata:
    import yaml

    events = yaml.parse(block, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    try:
        found = _read_document(events)
    except yaml.YAMLError:
        return _parse_lines(block)
    if not isinstance(found, dict):
        return {}
    return {key: value for key, value in found.items() if isinstance(value, str | list)}


def _read_document(events: Iterator["yaml.Event"]) -> _Value:
    import yaml

    next(events)  # the start of the stream
    if isinstance(next(events), yaml.StreamEndEvent):
        return None
    found = _read_value(events, next(events))
    next(events)  # the end of the document
    if not isinstance(next(events), yaml.StreamEndEvent):
        raise yaml.YAMLError("more than one document")
    return found


def _read_value(events: Iterator["yaml.Event"], event: "yaml.Event", depth: int = 0) -> _Value:
    """Read the value that begins with an event; lists keep only their texts."""
    import yaml

    if depth > MAX_FRONT_MATTER_DEPTH:
        raise BrokenFile(f"has front matter with more than {MAX_FRONT_MATTER_DEPTH} levels")
    if isinstance(event, yaml.AliasEvent):
        raise yaml.YAMLError("undefined alias")
    if isinstance(event, yaml.NodeEvent) and event.anchor:
        raise BrokenFile("has an anchor in its front matter, which is not supported")
    if isinstance(event, yaml.SequenceStartEvent):
        values = []
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            values.append(_read_value(events, event, depth + 1))
        return [value for value in values if isinstance(value, str)]
    if isinstance(event, yaml.MappingStartEvent):
        found = {}
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            key = _read_value(events, event, depth + 1)
            value = _read_value(events, next(events), depth + 1)
            if isinstance(key, str):
                found[key] = value
        return found
    if not isinstance(event, yaml.ScalarEvent) or (event.implicit[0] and event.value in _NULL):
        return None
    return str(event.value)


def _parse_lines(block: str) -> Metadata:
    """Read `key: value` and the `- item` lines that follow a key without a value."""
    metadata: Metadata = {}
    items: list[str] = []
    for line in block.split("\n"):
        key, colon, value = line.partition(":")
        item = line.strip(" \t")
        if colon and _KEY.fullmatch(key.rstrip(" \t")):
            items = []
            metadata[key.rstrip(" \t")] = value.strip(" \t").strip("'\"") or items
        elif item.startswith(("- ", "-\t")):
            items.append(item[2:].lstrip(" \t").strip("'\""))
    return {key: value for key, value in metadata.items() if value}
