"""An operation of the document comes in; its examples go out, each a curl command and a reply."""

import json
import shlex
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode
from xml.etree.ElementTree import Element

from msgspec import Struct, field

from app.handlers.openapi.tree import Node, e
from app.handlers.openapi.types import JSON

ORIGIN = "http://localhost:8000"


class _Sample(Struct):
    """What an example asks, by where it stands in a request, and what it gets."""

    summary: str
    asked: bool = False
    path: dict[str, str] = field(default_factory=dict)
    query: dict[str, str] = field(default_factory=dict)
    header: dict[str, str] = field(default_factory=dict)
    body: Any = None
    status: str = ""
    reply: Any = None


def samples(method: str, path: str, operation: JSON) -> Iterator[Element]:
    """Give all examples of an operation; a bare command where there is none."""
    found = _found(operation)
    if not found:
        yield e("pre", _curl(method, path, _Sample("")))
    for sample in found:
        parts: list[Node] = [e("summary", f"{sample.summary} ", e("small", sample.status))]
        if sample.asked or sample.status < "300":
            parts.append(e("pre", _curl(method, path, sample)))
        if sample.reply is not None:
            parts.append(e("pre", _written(sample.reply)))
        yield e("details", *parts)


def _found(operation: JSON) -> list[_Sample]:
    found: dict[str, _Sample] = {}

    def each(holder: JSON) -> Iterator[tuple[_Sample, Any]]:
        for name, example in holder.get("examples", {}).items():
            yield found.setdefault(name, _Sample(example["summary"])), example["value"]

    for parameter in operation.get("parameters", ()):
        for sample, value in each(parameter):
            getattr(sample, parameter["in"])[parameter["name"]] = value
            sample.asked = True
    for content in operation.get("requestBody", {}).get("content", {}).values():
        for sample, value in each(content):
            sample.body, sample.asked = value, True
    for status, reply in operation["responses"].items():
        for content in reply.get("content", {}).values():
            for sample, value in each(content):
                sample.status, sample.reply = status, value
    return list(found.values())


def _curl(method: str, path: str, sample: _Sample) -> str:
    words = ["curl"]
    if path.startswith("/api/v1/chat") and method != "delete":
        # So that it shows what comes when it comes.
        words.append("-N")
    if method == "delete":
        words += ["-X", "DELETE"]
    query = f"?{urlencode(sample.query)}" if sample.query else ""
    address = path.format_map(sample.path) if sample.path else path
    lines = [f"{' '.join(words)} {shlex.quote(ORIGIN + address + query)}"]
    lines += [f"-H {shlex.quote(f'{name}: {value}')}" for name, value in sample.header.items()]
    if sample.body is not None:
        lines.append("-H 'Content-Type: application/json'")
        lines.append(f"-d {shlex.quote(json.dumps(sample.body, ensure_ascii=False))}")
    return " \\\n  ".join(lines)


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
