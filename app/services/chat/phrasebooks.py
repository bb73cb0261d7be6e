"""Phrases, replies and function words of the languages that people may write in.

Each language has a file `languages/CODE.toml`, where CODE is its primary language subtag. A list of
phrases is separated by commas; `(a|b|)` in a phrase stands for any of the alternatives, here also
for nothing, and `{language}` for the name of any language.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec
from msgspec import Struct

FILES = Path(__file__).parent / "languages"
DEFAULT = "en"

# If a message has phrases of several kinds, the first of these counts.
Kind: TypeAlias = Literal[
    "rework",
    "history",
    "identity",
    "capability",
    "joke",
    "wellbeing",
    "complaint",
    "praise",
    "goodbye",
    "thanks",
    "greeting",
    "acknowledgement",
]


class Replies(Struct, frozen=True, forbid_unknown_fields=True):
    """Sentences that reply to small talk.

    `invitation` says what can be asked, `about` what the assistant does; `quoted` and `written` say
    who writes the answers, `rework` that an answer cannot be rewritten without a model.
    """

    greeting: str
    thanks: str
    goodbye: str
    wellbeing: str
    praise: str
    complaint: str
    acknowledgement: str
    joke: str
    invitation: str
    about: str
    quoted: str
    written: str
    history: str
    rework: str


class Refusals(Struct, frozen=True, forbid_unknown_fields=True):
    """Sentences of refusals. `quotes` enclose a term, and `or_` joins terms."""

    nothing: str
    unknown: str
    languages: str
    closest: str
    quotes: tuple[str, str]
    or_: str = msgspec.field(name="or")


class Phrasebook(Struct, frozen=True, forbid_unknown_fields=True):
    """One language; `names` are the names of languages in it, by code."""

    name: str
    function_words: str
    small_talk: Mapping[Kind | Literal["fillers"], str]
    replies: Replies
    refusals: Refusals
    names: Mapping[str, str]


@cache
def phrasebooks() -> Mapping[str, Phrasebook]:
    """Return all languages by code."""
    return {
        path.stem: msgspec.toml.decode(path.read_bytes(), type=Phrasebook)
        for path in sorted(FILES.glob("*.toml"))
    }


def phrasebook(language: str) -> Phrasebook:
    """Return a language, English if there is no such file."""
    books = phrasebooks()
    return books.get(language, books[DEFAULT])
