"""Names and numbers of a question that the library never has."""

import re
from collections.abc import Collection

from app.services.search.text import segment, stems

# German capitalizes every noun, and `simple` has languages of any script.
_NO_CAPITALIZED_NAMES = frozenset({"german", "simple"})
_WORD = re.compile(r"[^\W_]+(?:['’._-][^\W_]+)*")
# Capital letters or digits after the first letter: OP_RETURN, libsecp256k1, 34.
_NAME_LIKE = re.compile(r".+[A-Z\d]|\d")
_CONTRACTION_OF_I = re.compile(r"I['’]")


def find_unknown_terms(
    question: str, unknown: Collection[str], configuration: str
) -> tuple[str, ...]:
    """Return the question's names and numbers that have an unknown lexeme, as written.

    `unknown` are the question's lexemes that the library lacks in the language of this text search
    configuration. A capitalized word is a name unless it is the first of a sentence, or the whole
    question is in capital letters.
    """
    if not unknown or configuration in _NO_CAPITALIZED_NAMES:
        return ()
    lacking = set(unknown)
    found: list[str] = []
    # In a question in capital letters, only numbers can be told from other words.
    is_name = _has_digit if question.isupper() else _is_name
    for match in _WORD.finditer(question):
        word = match[0]
        if is_name(word, question[: match.start()]) and _is_unknown(word, lacking, configuration):
            found.append(word)
    return tuple(dict.fromkeys(found))


def _has_digit(word: str, _before: str) -> bool:
    return any(map(str.isdigit, word))


def _is_name(word: str, before: str) -> bool:
    starts_sentence = not before.strip(" \t\"'“”‘’([¿¡") or before.rstrip()[-1:] in ".!?:"
    is_capitalized = word[0].isupper() and not _CONTRACTION_OF_I.match(word)
    return bool(_NAME_LIKE.match(word)) or (is_capitalized and not starts_sentence)


def _is_unknown(word: str, lacking: set[str], configuration: str) -> bool:
    return not lacking.isdisjoint({*stems(segment(word), configuration), word.lower()})
