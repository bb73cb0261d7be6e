"""A document's text and the language it is said to be in come in; the one it is in goes out."""

import re
from functools import cache
from typing import Any

from app.services.ingest.parse.cues import count_words

DEFAULT = "en"
# How likely a language must be where nothing tells one, and where something tells another.
LIKELY, CERTAIN = 0.7, 0.95
# What is said of a text is wrong where it is this unlikely, in so many words at least.
UNLIKELY = 0.001
CERTAIN_WORDS = 20

# Detection reads so many stretches of so many letters, from the beginning to the end.
_STRETCHES, _LENGTH = 4, 800
# Addresses and figures are in no language.
_NO_WORDS = re.compile(r"(?:https?://|www\.)\S+|\d+")
# Names that people and the detector give to one language.
_SAME = {"nb": "no", "nn": "no", "iw": "he"}


def language_of(text: str, told: str | None) -> str:
    """Return the BCP 47 tag of a text's language: as it is told, unless the text contradicts it.

    Where nothing is told and the text is too short or too mixed to tell, it is `en`.
    """
    sample = _sample(text)
    if told is not None and count_words(sample) < CERTAIN_WORDS:
        return told
    likely = dict(_detector().rank(sample))
    found = max(likely, key=lambda code: likely[code])
    if told is None:
        return found if likely[found] >= LIKELY else DEFAULT
    code = re.split(r"[-_]", told.lower(), maxsplit=1)[0]
    code = _SAME.get(code, code)
    # Of a language that the detector does not know it cannot say that it is not there.
    contradicted = likely.get(code, 1.0) < UNLIKELY and likely[found] >= CERTAIN
    return found if contradicted and _SAME.get(found, found) != code else told


def _sample(text: str) -> str:
    if len(text) > _STRETCHES * _LENGTH:
        step = (len(text) - _LENGTH) // (_STRETCHES - 1)
        text = " ".join(text[at * step :][:_LENGTH] for at in range(_STRETCHES))
    text = _NO_WORDS.sub(" ", text)
    # Captions in capitals look like no language's words.
    capitals = sum(letter.isupper() for letter in text)
    return text.lower() if 2 * capitals > len(text.replace(" ", "")) else text


@cache
def _detector() -> Any:
    """Load the detector, for the languages that have a code of two letters.

    With the smaller ones beside them (Wu, Cantonese, pidgins) it takes one for the other.
    """
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    detector = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    detector.set_languages({code for code in detector.labels if len(code) == 2})
    return detector
