"""Read an error of a model server, in whatever form it has."""

import re
from collections.abc import Iterator

import msgspec
from msgspec import Struct

# In bytes. Some servers return the rejected prompt with the error.
ERROR_LIMIT = 1 << 20
_TEXT_LIMIT = 4_000
_IDENTIFIER = re.compile(r"[\w.\[\]-]{1,64}", re.ASCII)
_IDENTIFIERS = {
    "code": ("code", "error_code", "status", "status_code"),
    "param": ("param", "loc"),
    "type": ("type", "error_type"),
}
# Members that contain an error, or messages.
_MEMBERS = (
    *("error", "errors", "detail", "details", "innererror", "metadata", "base_resp"),
    *("message", "msg", "error_message", "raw"),
)
_MAX_DEPTH = 6


class ServerError(Struct, frozen=True):
    """An error; fields that the server did not send are empty.

    `code`, `param` and `type` are short identifiers, which may be logged. `text` has all messages
    and identifiers. It may quote the prompt: search it, but never log or show it.
    """

    code: str = ""
    param: str = ""
    type: str = ""
    text: str = ""

    def __str__(self) -> str:
        named = (("code", self.code), ("param", self.param), ("type", self.type))
        return ", ".join(f"{name} {value}" for name, value in named if value)


def parse_error(body: bytes) -> ServerError:
    """Parse the body of an error response; a web page or an unknown form is an empty error."""
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        text = body[:_TEXT_LIMIT].decode(errors="replace").strip()
        return ServerError(text="" if text.startswith("<") else text)
    return read_error(document)


def read_error(document: object) -> ServerError:
    """Find the error in a decoded document, or in a part of it."""
    found = list(_walk(document, 0))
    known = {name: [text for key, text in found if key == name] for name in _IDENTIFIERS}
    # A word says more than a status, and anything more than that it is an error.
    known["code"].sort(key=str.isdigit)
    known["type"].sort(key="error".__eq__)
    firsts = {name: texts[0] if texts else "" for name, texts in known.items()}
    return ServerError(**firsts, text="\n".join(text for _, text in found)[:_TEXT_LIMIT])


def _walk(value: object, depth: int) -> Iterator[tuple[str, str]]:
    """Yield the identifiers and messages with their kind, the outermost first."""
    if isinstance(value, str):
        yield "message", value
    if depth == _MAX_DEPTH:
        return
    if isinstance(value, list):
        for item in value[:5]:
            yield from _walk(item, depth + 1)
    elif isinstance(value, dict):
        for name, keys in _IDENTIFIERS.items():
            for key in keys:
                if text := identifier(value.get(key)):
                    yield name, text
        for key in _MEMBERS:
            yield from _walk(value.get(key), depth + 1)


def identifier(value: object) -> str:
    """Return a number or a short identifier as text, "" for any other value."""
    # FastAPI locates a parameter with a list: ["body", "messages", 0, "role"].
    text = ".".join(map(str, value)) if isinstance(value, list) else value
    if isinstance(text, bool) or not isinstance(text, str | int):
        return ""
    return str(text) if _IDENTIFIER.fullmatch(str(text)) else ""
