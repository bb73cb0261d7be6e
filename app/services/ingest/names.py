"""Clean names from files, for storing and for printing."""

import re
from collections.abc import Sequence

from app.services.ingest.bounds import MAX_NAME, MAX_NAMES
from app.services.search.text import slugify

# Control characters, direction overrides and isolates, line separators, and the surrogates that
# stand for bytes of a file name that are not UTF-8.
_UNPRINTABLE = re.compile(
    "[\0-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]"
)
# How much of a path or reason is printed.
_MAX_PRINTED = 500


def clean_name(name: str, limit: int) -> str:
    """Return a name on one line, without control characters, cut to `limit` characters."""
    words = " ".join(name[: 10 * limit].split())
    return _UNPRINTABLE.sub("", words)[:limit].strip()


def clean_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names of speakers or topics, cleaned and without empty ones."""
    return tuple(filter(None, (clean_name(name, MAX_NAME) for name in names[:MAX_NAMES])))


def creator_slug(name: str) -> str:
    """Return the slug of a creator's name, "" if the name has no letters or digits."""
    return slugify(name[:MAX_NAME])[:MAX_NAME]


def printable(text: str) -> str:
    """Return text that is safe to print on a terminal: control characters are escaped."""
    if len(text) > _MAX_PRINTED:
        text = f"{text[:_MAX_PRINTED]}…"
    return _UNPRINTABLE.sub(lambda found: ascii(found[0])[1:-1], text)


def is_utf8(name: str) -> bool:
    """Return whether a file's name is UTF-8, so that it can be stored."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
