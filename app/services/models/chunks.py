"""Parse the data of a chat completion's events, leniently."""

import json
import re
from collections.abc import Iterator

from app.infra.http.sse import BadEvent
from app.schemas import Usage

# Between the documents of one event.
_SEPARATOR = re.compile(r"[\s,]*(?:data:\s*)*")
_DONE = re.compile(r"[\s\[\"]{0,8}done[\s\]\"]{0,8}", re.IGNORECASE)
# Accepts raw control characters, NaN, and halves of escaped surrogate pairs.
_DECODER = json.JSONDecoder(strict=False)
_MAX_COUNT = 1 << 53
# Some servers send all events of an answer as one; a hostile one could send millions of empty ones.
_MAX_DOCUMENTS = 20_000


def parse_documents(data: str) -> Iterator[object]:
    """Yield the JSON documents of an event, `[DONE]` as a string.

    Data that does not begin like JSON, such as a ping, is ignored. Raises BadEvent.
    """
    position = _end_of_separator(data, 0)
    if data[position : position + 1] not in ("{", "[", '"') and not is_done(data):
        return
    document: object
    left = _MAX_DOCUMENTS
    while position < len(data):
        if left == 0:
            raise BadEvent(f"an event has more than {_MAX_DOCUMENTS} documents")
        left -= 1
        if done := _DONE.match(data, position):
            document, position = "[DONE]", done.end()
        else:
            document, position = _parse(data, position)
        yield document
        position = _end_of_separator(data, position)


def is_done(document: object) -> bool:
    """Return whether a document or an event's data marks the end, like `[DONE]`."""
    return isinstance(document, str) and _DONE.fullmatch(document) is not None


def parse_usage(value: object) -> Usage | None:
    """Return the counts of a `usage`, None if it has none."""
    if not isinstance(value, dict):
        return None
    prompt, completion = _count(value.get("prompt_tokens")), _count(value.get("completion_tokens"))
    return Usage(prompt, completion) if prompt or completion else None


def _parse(data: str, position: int) -> tuple[object, int]:
    try:
        return _DECODER.raw_decode(data, position)
    except (ValueError, RecursionError):
        raise BadEvent("an event is not valid JSON") from None


def _end_of_separator(data: str, position: int) -> int:
    separator = _SEPARATOR.match(data, position)
    return separator.end() if separator else position


def _count(value: object) -> int:
    """Return a number of tokens, 0 if the value is not one."""
    try:
        count = int(float(value)) if isinstance(value, int | float | str) else 0
    except (ValueError, OverflowError):
        return 0
    return count if 0 < count < _MAX_COUNT else 0
