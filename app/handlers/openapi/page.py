"""Our OpenAPI document comes in; a page for people goes out, without script."""

from base64 import b64encode
from collections.abc import Iterable, Iterator
from hashlib import sha256
from xml.etree.ElementTree import Element

from app.handlers.openapi.samples import samples
from app.handlers.openapi.tree import Node, e, html, joined, table, text
from app.handlers.openapi.types import JSON, fields, kind, name_of, parameters


def page(document: JSON, style: str) -> tuple[str, str]:
    """Return the page as HTML, and the Content-Security-Policy that lets it have its style."""
    title = document["info"]["title"]
    head = e(
        "head",
        e("meta", charset="utf-8"),
        e("meta", name="viewport", content="width=device-width, initial-scale=1"),
        e("title", f"{title}: reference"),
        e("style", style),
    )
    root = e("html", head, e("body", *_body(document)), lang="en")
    allowed = b64encode(sha256(style.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{allowed}'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )
    return html(root), policy


def _body(document: JSON) -> Iterator[Element]:
    info, components = document["info"], document["components"]
    operations = [
        (method, path, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method != "parameters"
    ]
    yield e(
        "header",
        e("h1", info["title"], " ", e("small", info["version"])),
        *(e("p", *text(part)) for part in info["description"].split("\n\n")),
        e("p", "As OpenAPI: ", e("a", "openapi.json", href="/openapi.json"), "."),
    )
    yield _contents(document["tags"], operations)
    schemas = components["schemas"]
    yield e(
        "main",
        *(_operation(schemas, *each) for each in operations),
        e("h2", "Headers of every request", id="headers"),
        parameters(components["parameters"].values()),
        e("h2", "Headers of replies", id="reply-headers"),
        _headers(components["headers"]),
        e("h2", "Types", id="types"),
        *(
            e("section", e("h3", name), e("p", *text(it["description"])), fields(it), id=name)
            for name, it in sorted(schemas.items())
        ),
    )


def _contents(tags: Iterable[JSON], operations: list[tuple[str, str, JSON]]) -> Element:
    def group(tag: JSON) -> Iterator[Element]:
        for method, path, operation in operations:
            if tag["name"] in operation["tags"]:
                link = e("code", f"{method.upper()} {path}")
                yield e("li", e("a", link, href=f"#{operation['operationId']}"))

    parts = {
        "headers": "Headers of every request",
        "reply-headers": "Headers of replies",
        "types": "Types",
    }
    return e(
        "nav",
        *(e("div", e("p", tag["description"]), e("ul", *group(tag))) for tag in tags),
        e("ul", *(e("li", e("a", what, href=f"#{id}")) for id, what in parts.items())),
        aria_label="Contents",
    )


def _operation(schemas: JSON, method: str, path: str, operation: JSON) -> Element:
    parts: list[Node] = [
        e("h2", e("span", method.upper(), _class=f"method {method}"), " ", e("code", path)),
        e("p", e("strong", f"{operation['summary']}.")),
        e("p", *text(operation["description"])),
    ]
    if "parameters" in operation:
        parts += [e("h3", "Parameters"), parameters(operation["parameters"])]
    if body := operation.get("requestBody"):
        for media_type, content in body["content"].items():
            schema = content["schema"]
            parts += [
                e("h3", "Body: ", e("code", media_type), ", ", *kind(schema)),
                fields(schemas[name_of(schema)]),
            ]
    parts += [e("h3", "Replies"), _replies(operation["responses"])]
    for reply in operation["responses"].values():
        for content in reply.get("content", {}).values():
            if events := content["schema"].get("oneOf"):
                told = e("p", *text(content["schema"]["description"]))
                parts += [e("h3", "Events"), told, _events(events)]
    parts += [e("h3", "Examples"), *samples(method, path, operation)]
    return e("section", *parts, id=operation["operationId"])


def _replies(replies: JSON) -> Element:
    rows = (
        ([e("strong", status)], [*joined(_media(reply))], [*_meaning(reply)])
        for status, reply in replies.items()
    )
    return table(("Status", "Body", "What it means"), rows)


def _media(reply: JSON) -> Iterator[Element]:
    for media_type, content in reply.get("content", {}).items():
        # A problem is one of several, which all have its form.
        schema = content["schema"].get("allOf", [content["schema"]])[0]
        yield e("span", *kind(schema)) if media_type.endswith("json") else e("code", media_type)


def _meaning(reply: JSON) -> Iterator[Node]:
    yield from text(reply["description"])
    for content in reply.get("content", {}).values():
        for part in content["schema"].get("allOf", ())[1:]:
            kinds = (e("code", it) for it in part["properties"]["type"]["enum"])
            yield e("div", "type ", *joined(kinds, " or "), _class="rules")
    # All of them have the first one.
    if names := list(reply["headers"])[1:]:
        yield e("div", "with ", *joined(e("code", name) for name in names), _class="rules")


def _events(events: Iterable[JSON]) -> Element:
    rows = (
        (
            [e("code", event["title"])],
            [*kind(event["properties"]["data"]["contentSchema"])],
            [*text(event["description"])],
        )
        for event in events
    )
    return table(("Event", "Data", "What it is"), rows)


def _headers(headers: JSON) -> Element:
    rows = (
        ([e("code", name)], [e("code", it.get("example", ""))], [*text(it["description"])])
        for name, it in headers.items()
    )
    return table(("Name", "Example", "What it is"), rows)
