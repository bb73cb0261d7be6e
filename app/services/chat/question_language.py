"""Detect the language of a question by its script and its function words."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache

from app.services.chat.phrasebooks import phrasebooks
from app.services.search.text import fold

# Scripts that only one of the known languages uses; kana before the characters that Japanese shares
# with Chinese.
_SCRIPTS = {
    "ja": re.compile(r"[\u3041-\u30ff]"),
    "ko": re.compile(r"[\uac00-\ud7a3\u1100-\u11ff]"),
    "zh": re.compile(r"[\u3400-\u9fff]"),
    "th": re.compile(r"[\u0e00-\u0e7f]"),
    "el": re.compile(r"[\u0370-\u03ff]"),
    "he": re.compile(r"[\u0590-\u05ff]"),
    "hi": re.compile(r"[\u0900-\u097f]"),
}
# Scripts of several languages: letters that only one of them has, and the most common language.
_CYRILLIC, _UKRAINIAN = re.compile(r"[\u0400-\u04ff]"), re.compile(r"[іїєґ]")
_ARABIC, _PERSIAN = re.compile(r"[\u0600-\u06ff]"), re.compile(r"[پچژگکی]")
_WORD = re.compile(r"[^\W\d_]+")
# Longer questions are judged by their beginning, in characters.
_SAMPLE = 1_000
# The share of the letters that must be in a script, unless function words tell otherwise: questions
# quote names in other scripts. With most of the letters, the script alone decides.
_MIN_SHARE, _MOST = 0.3, 0.5
# A word of only one language counts twice, unless it is so short that it may be anything. One
# such word, or two others, make a language certain.
_WEIGHT_OF_UNIQUE, _SHORT = 2, 3
_MIN_WEIGHT = 2


@cache
def _function_words() -> Mapping[str, frozenset[str]]:
    """Return the languages of each function word, as it is written."""
    return _index((book.function_words.lower(), code) for code, book in phrasebooks().items())


@cache
def _without_accents() -> Mapping[str, frozenset[str]]:
    """Return the languages of each function word, written without accents."""
    return _index((fold(book.function_words), code) for code, book in phrasebooks().items())


def _index(texts: Iterable[tuple[str, str]]) -> Mapping[str, frozenset[str]]:
    languages: dict[str, set[str]] = {}
    for text, language in texts:
        for word in text.split():
            languages.setdefault(word, set()).add(language)
    return {word: frozenset(found) for word, found in languages.items()}


def detect_question_language(question: str) -> str | None:
    """Return the primary subtag of a question's language, None if it is uncertain."""
    text = question[:_SAMPLE].lower()
    letters = sum(map(len, _WORD.findall(text)))
    if not letters:
        return None

    # "What is 比特币?" is English.
    return (
        _by_script(text, _MOST * letters)
        or _by_function_words(text)
        or _by_script(text, _MIN_SHARE * letters)
    )


def _by_script(text: str, min_letters: float) -> str | None:
    """Return the language of a script that the text has so many letters of."""

    def is_common(script: re.Pattern[str]) -> bool:
        return len(script.findall(text)) >= min_letters

    for language, script in _SCRIPTS.items():
        if is_common(script):
            return language
    if is_common(_CYRILLIC):
        return "uk" if _UKRAINIAN.search(text) else "ru"
    if is_common(_ARABIC):
        return "fa" if _PERSIAN.search(text) else "ar"
    return None


def _by_function_words(text: str) -> str | None:
    """Return the language with the most function words, if it has clearly more than any other."""
    counts: Counter[str] = Counter()
    for word in set(_WORD.findall(text)):
        languages = _function_words().get(word, frozenset())
        certain = len(languages) == 1 and len(word) > _SHORT
        for language in languages or _without_accents().get(fold(word), frozenset()):
            counts[language] += _WEIGHT_OF_UNIQUE if certain else 1
    best = counts.most_common(2)
    if not best or best[0][1] < _MIN_WEIGHT or (len(best) == 2 and best[0][1] == best[1][1]):
        return None
    return best[0][0]
