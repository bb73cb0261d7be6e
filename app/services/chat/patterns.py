"""Match the words of a message with phrases that have alternatives."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

from app.services.search.text import fold

Words: TypeAlias = tuple[str, ...]
# The alternatives of each part, in order; an empty alternative makes a part optional.
Pattern: TypeAlias = tuple[tuple[Words, ...], ...]

# Thai, kana and Chinese characters are written without spaces, and Korean spacing varies: each
# counts as a word.
_UNSPACED = (
    "\u0e00-\u0e4e\u3005-\u3007\u3041-\u3096\u30a1-\u30fa\u30fc\u3400-\u4dbf\u4e00-\u9fff"
    "\uac00-\ud7a3"
)
# Devanagari vowel signs, which `\w` does not match.
_MARKS = "\u0900-\u0903\u093a-\u094f"
_WORD = re.compile(rf"[{_UNSPACED}]|(?:[^\W_{_UNSPACED}]|[{_MARKS}])+")
_LENGTHENED = re.compile(r"([^\W\d_])\1{2,}")
_PHRASE = re.compile(r"(?:[^,()]|\([^()]*\))+")
_PART = re.compile(r"\(([^()]*)\)|([^()]+)")


def words(text: str) -> Words:
    """Return the words of a text without case, accents, apostrophes and lengthening ("heyyy")."""
    return _split(_normalized(text))


def _normalized(text: str) -> str:
    return _LENGTHENED.sub(r"\1", fold(text).replace("'", ""))


def _split(normalized: str) -> Words:
    return tuple(_WORD.findall(normalized))


def parse_patterns(phrases: str, languages: Iterable[str]) -> Iterator[Pattern]:
    """Parse a list of phrases; `languages` are the names that `{language}` stands for."""
    names = [_normalized(name) for name in languages]
    for phrase in _PHRASE.findall(_normalized(phrases)):
        parts = (
            tuple(dict.fromkeys(_alternatives(inner.split("|") if inner else [plain], names)))
            for inner, plain in _PART.findall(phrase)
        )
        if pattern := tuple(part for part in parts if part != ((),)):
            yield pattern


def _alternatives(texts: Iterable[str], names: Iterable[str]) -> Iterator[Words]:
    for text in texts:
        if "{language}" in text:
            yield from (_split(text.replace("{language}", name)) for name in names)
        else:
            yield _split(text)


def first_words(pattern: Pattern) -> set[str]:
    """Return the words that a match of the pattern can start with."""
    found: set[str] = set()
    for part in pattern:
        found.update(alternative[0] for alternative in part if alternative)
        if () not in part:
            break
    return found


def match_ends(pattern: Pattern, message: Sequence[str], start: int) -> set[int]:
    """Return where matches of the pattern end that begin at `start`, in words."""
    ends = {start}
    for part in pattern:
        ends = {
            end + len(alternative)
            for end in ends
            for alternative in part
            if message[end : end + len(alternative)] == alternative
        }
    return ends - {start}
