"""Errors that a model server reports within a response."""

import re
from collections.abc import Iterator
from itertools import chain

from app.infra.http.sse import BadEvent

_IDENTIFIER = re.compile(r"[A-Za-z0-9_.-]{1,64}")
# Where servers put the code of an error, the most specific first.
_CODES = ("code", "error_code", "status_code", "type", "error_type", "status")
# Fields that only errors have, if the event has neither choices nor usage.
_ERROR_FIELDS = ("code", "message", "error_code", "error_type", "error_message", "base_resp")
# Some servers describe success where others describe an error.
_BENIGN = ("0", "200", "ok", "success", "null", "none")


class ReportedError(BadEvent):
    """An error that the server reports.

    `code` and `param` are identifiers, or empty: messages may quote the prompt and are not kept.
    """

    def __init__(self, code: str = "", param: str = "") -> None:
        details = ", ".join(
            f"{name} {value}" for name, value in (("code", code), ("param", param)) if value
        )
        super().__init__(f"the server reported an error{details and f' ({details})'}")
        self.code = code
        self.param = param


def find_error(chunk: dict[str, object], event: str = "message") -> ReportedError | None:
    """Return the error that a decoded event reports, if any; `event` is its name."""
    choices = chunk.get("choices")
    for part in (chunk, *(choices if isinstance(choices, list) else ())):
        error = part.get("error") if isinstance(part, dict) else None
        if not _is_benign(error):
            return describe(error)
    if event == "error" or chunk.get("object") == "error":
        return describe(chunk)
    if event == "message" and not choices and not chunk.get("usage"):
        fields = {name: chunk[name] for name in _ERROR_FIELDS if name in chunk}
        # Other protocols have an object in the field `message`.
        if isinstance(fields.get("message"), dict):
            del fields["message"]
        if not _is_benign(fields):
            return describe(fields)
    return None


def describe(error: object) -> ReportedError:
    """Return an error with the code and the parameter that it names."""
    parts = list(_objects(error))

    def first(names: tuple[str, ...]) -> str:
        values = chain.from_iterable((part.get(name) for name in names) for part in parts)
        return next((shown for value in values if (shown := identifier(value))), "")

    return ReportedError(first(_CODES), first(("param",)))


def identifier(value: object) -> str:
    """Return a value that is a number or looks like an identifier, "" for any other."""
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    return text if _IDENTIFIER.fullmatch(text) else ""


def _objects(error: object) -> Iterator[dict[str, object]]:
    """Yield an error's objects, the outer ones first, to a depth of three."""
    level = [error]
    for _ in range(3):
        level = [item for part in level for item in (part if isinstance(part, list) else [part])]
        objects = [part for part in level if isinstance(part, dict)]
        yield from objects
        level = [part.get(name) for part in objects for name in ("error", "base_resp", "detail")]


def _is_benign(error: object) -> bool:
    """Return whether a value says that there is no error."""
    if isinstance(error, dict):
        return all(map(_is_benign, error.values()))
    if isinstance(error, list):
        return all(map(_is_benign, error))
    return not error or str(error).strip().lower() in _BENIGN
