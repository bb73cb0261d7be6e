"""Read the error that a model server reports, in whatever form it has."""

import re
from collections.abc import Iterator

import msgspec
from msgspec import Struct

# In bytes. Some servers return the rejected prompt with the error.
ERROR_LIMIT = 1 << 20
_TEXT_LIMIT = 4_000
_IDENTIFIER = re.compile(r"[\w.\[\]-]{1,64}", re.ASCII)
# Values that say no more than the status.
_NOTHING_NEW = re.compile(r"error|\d{3}", re.IGNORECASE)
_IDENTIFIERS = {
    "code": ("code", "error_code", "status"),
    "param": ("param", "loc"),
    "type": ("type",),
}
# Members that contain an error, or messages.
_MEMBERS = (
    *("error", "errors", "detail", "details", "innererror", "metadata"),
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
        return "".join(f", {name} {value}" for name, value in named if value)


def parse_error(body: bytes) -> ServerError:
    """Parse the body of an error response; a web page or an unknown form is an empty error."""
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        text = body[:_TEXT_LIMIT].decode(errors="replace").strip()
        return ServerError(text="" if text.startswith("<") else text)
    found = list(_walk(document, 0))
    firsts = {name: next((text for key, text in found if key == name), "") for name in _IDENTIFIERS}
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
                if text := _identifier(value.get(key)):
                    yield name, text
        for key in _MEMBERS:
            yield from _walk(value.get(key), depth + 1)


def _identifier(value: object) -> str:
    # FastAPI locates a parameter with a list: ["body", "messages", 0, "role"].
    text = ".".join(map(str, value)) if isinstance(value, list) else str(value or "")
    known = _IDENTIFIER.fullmatch(text) and not _NOTHING_NEW.fullmatch(text)
    return text if known else ""
