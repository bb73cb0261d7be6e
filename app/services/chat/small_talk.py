"""Recognize messages not meant for the library: greetings, thanks, questions about the assistant.

A message is small talk only if all its words belong to known phrases of one language, so any other
word makes it a question.
"""

import re
from collections.abc import Mapping
from functools import cache
from typing import NamedTuple, get_args

from msgspec import Struct

from app.services.chat.patterns import Pattern, first_words, match_ends, parse_patterns, words
from app.services.chat.phrasebooks import DEFAULT, Kind, phrasebooks

# Longer messages are questions: in characters, and in words.
MAX_LENGTH, MAX_WORDS = 140, 60

# The lower the rank, the more a kind counts; fillers alone are not small talk.
_KINDS: tuple[Kind, ...] = get_args(Kind)
_RANKS: Mapping[str, int] = {kind: rank for rank, kind in enumerate(_KINDS)}
_FILLER = len(_KINDS)

# The kinds of a message of one word in a language that neither the library nor the service has by
# default: other single words, such as "mist" or "legal", may be keywords.
_SINGLE_WORD_KINDS = frozenset({"greeting", "thanks", "goodbye"})
# What may precede a question, and the punctuation between them.
_OPENINGS = frozenset({"greeting", "thanks", "praise", "wellbeing", "acknowledgement"})
_OPENING_END = re.compile(r"[,.!;:…–—\n，。！、؟،]+")
_MAX_OPENINGS = 3


class SmallTalk(Struct, frozen=True):
    """The kind of a message and its language; `kind` is None for a message without words."""

    kind: Kind | None
    language: str


class _Phrase(Struct, frozen=True, gc=False):
    language: str
    rank: int
    # The position in its list: typical phrases of a language come first.
    position: int
    pattern: Pattern


class _Match(NamedTuple):
    """The best rank of the phrases up to a word, and the position of the phrase with this rank."""

    rank: int
    position: int


@cache
def _phrases() -> Mapping[str, Mapping[str, list[_Phrase]]]:
    """Return the phrases by the first word of the message they match, and by language."""
    index: dict[str, dict[str, list[_Phrase]]] = {}
    for language, book in phrasebooks().items():
        for kind, source in book.small_talk.items():
            rank = _RANKS.get(kind, _FILLER)
            patterns = parse_patterns(source, book.names.values())
            for position, pattern in enumerate(patterns):
                phrase = _Phrase(language, rank, position, pattern)
                for word in first_words(pattern):
                    index.setdefault(word, {}).setdefault(language, []).append(phrase)
    return index


def load_phrases() -> None:
    """Load the phrases now rather than with the first message: that takes 0.2 s and 6 MB."""
    _phrases()


def find_small_talk(message: str, main_language: str = DEFAULT) -> SmallTalk | None:
    """Return the kind and language of a message, None if it is a question.

    A phrase of several languages counts as one of `main_language`, or else as English.
    """
    if len(message) > MAX_LENGTH:
        return None
    text = words(message)
    if not text:
        return SmallTalk(None, main_language)
    if len(text) > MAX_WORDS:
        return None
    languages = _phrases().get(text[0], {})
    for language in (main_language, DEFAULT):
        if language in languages and (match := _match(text, language)):
            return SmallTalk(_KINDS[match.rank], language)
    matches = ((match, language) for language in languages if (match := _match(text, language)))
    best = min(matches, key=lambda found: found[0].position, default=None)
    if best is None:
        return None
    talk = SmallTalk(_KINDS[best[0].rank], best[1])
    return talk if len(text) > 1 or talk.kind in _SINGLE_WORD_KINDS else None


def _match(text: tuple[str, ...], language: str) -> _Match | None:
    """Return the match if the whole text is phrases and fillers of a language."""
    best = {0: _Match(_FILLER, 0)}
    for start, word in enumerate(text):
        if start not in best:
            continue
        for phrase in _phrases().get(word, {}).get(language, ()):
            match = min(best[start], _Match(phrase.rank, phrase.position))
            for end in match_ends(phrase.pattern, text, start):
                best[end] = min(best.get(end, match), match)
    whole = best.get(len(text))
    return whole if whole and whole.rank < _FILLER else None


def strip_opening(message: str) -> str:
    """Remove greetings and thanks, up to a punctuation mark, from the beginning of a question."""
    for _ in range(_MAX_OPENINGS):
        end = _OPENING_END.search(message, 0, MAX_LENGTH)
        if end is None or not words(message[end.end() :]):
            break
        opening = find_small_talk(message[: end.start()])
        if opening is None or opening.kind not in _OPENINGS:
            break
        message = message[end.end() :].lstrip()
    return message
