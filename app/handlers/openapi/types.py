"""JSON Schemas come in; what people read of them goes out: types, rules, tables of fields."""

from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias
from xml.etree.ElementTree import Element

from app.handlers.openapi.tree import Node, e, joined, table, text

JSON: TypeAlias = dict[str, Any]

LONGEST_RULE = 60
_RULES = {
    "pattern": "pattern",
    "minimum": "at least",
    "maximum": "at most",
    "maxLength": "characters, at most",
    "format": "format",
}


def name_of(schema: JSON) -> str:
    """Return the name that a schema is kept by, empty where it has none."""
    reference: str = schema.get("$ref", "")
    return reference.rpartition("/")[2]


def kind(schema: JSON) -> Iterator[Node]:
    """Say what type a schema is of, with links to the named ones."""
    if name := name_of(schema):
        yield e("a", name, href=f"#{name}")
    elif "enum" in schema:
        yield from joined((e("code", str(it)) for it in schema["enum"]), " or ")
    elif "anyOf" in schema:
        for number, each in enumerate(schema["anyOf"]):
            yield from ([" or "] if number else [])
            yield from kind(each)
    elif schema.get("type") == "array":
        yield from ("array of ", *kind(schema["items"]))
    else:
        yield schema.get("type", "any")


def meaning(schema: JSON, description: str = "") -> Iterator[Node]:
    """Say what a value is, and by which rules it goes beside its type."""
    every = [schema, *schema.get("anyOf", ())]
    told = [description, *(each.get("description", "") for each in every)]
    yield from text(" ".join(filter(None, told)))
    found = [(key, str(each[key])) for each in every for key in _RULES if key in each]
    # What is longer is told in words.
    rules = [(key, rule) for key, rule in found if len(rule) <= LONGEST_RULE]
    if rules:
        written = (e("span", f"{_RULES[key]} ", e("code", value)) for key, value in rules)
        yield e("div", *joined(written), _class="rules")


def fields(schema: JSON) -> Element:
    """Make the table of an object's fields."""
    required = schema.get("required", ())
    rows = (
        (
            [e("code", name)],
            _typed(it, name in required),
            [*meaning(it)],
        )
        for name, it in schema["properties"].items()
    )
    return table(("Field", "Type", "What it is"), rows)


def _typed(schema: JSON, required: bool) -> Iterator[Node]:
    yield from kind(schema)
    yield from ([] if required else [", optional"])


def parameters(told: Iterable[JSON]) -> Element:
    """Make a table of parameters."""
    rows = (
        (
            [e("span", e("code", it["name"]), " ", e("small", it["in"]))],
            _typed(it["schema"], it["required"]),
            [*meaning(it["schema"], it["description"])],
        )
        for it in told
    )
    return table(("Name", "Type", "What it is"), rows)
