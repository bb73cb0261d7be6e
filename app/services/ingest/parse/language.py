"""Detect the language of a document's text."""

import re
from functools import cache
from typing import Any

from app.services.ingest.parse.words import count_words

DEFAULT = "en"
# The minimum probability of a detected language if none is declared, and if another one is.
LIKELY, CERTAIN = 0.7, 0.95
# A declared language with a lower probability is wrong, if the text has enough words.
UNLIKELY = 0.001
MIN_WORDS_TO_CONTRADICT = 20

# The detector reads this many samples, each this many characters long, spread over the text.
_SAMPLES, _SAMPLE_LENGTH = 4, 800
# URLs and numbers do not indicate a language.
_NOT_WORDS = re.compile(r"(?:https?://|www\.)\S+|\d+")
# Other codes for languages that the detector knows.
_SYNONYMS = {"nb": "no", "nn": "no", "iw": "he"}


def detect_language(text: str, declared: str | None) -> str:
    """Return the BCP 47 tag of a text's language.

    A declared language is returned unless the text clearly contradicts it. Without one, a text that
    is too short or too mixed counts as `en`.
    """
    sample = _sample(text)
    if declared is not None and count_words(sample) < MIN_WORDS_TO_CONTRADICT:
        return declared
    probabilities = dict(_detector().rank(sample))
    detected = max(probabilities, key=lambda code: probabilities[code])
    if declared is None:
        return detected if probabilities[detected] >= LIKELY else DEFAULT
    code = re.split(r"[-_]", declared.lower(), maxsplit=1)[0]
    code = _SYNONYMS.get(code, code)
    # A language that the detector does not know cannot be ruled out.
    contradicted = probabilities.get(code, 1.0) < UNLIKELY and probabilities[detected] >= CERTAIN
    return detected if contradicted and _SYNONYMS.get(detected, detected) != code else declared


def _sample(text: str) -> str:
    if len(text) > _SAMPLES * _SAMPLE_LENGTH:
        step = (len(text) - _SAMPLE_LENGTH) // (_SAMPLES - 1)
        text = " ".join(text[n * step :][:_SAMPLE_LENGTH] for n in range(_SAMPLES))
    text = _NOT_WORDS.sub(" ", text)
    # The detector does not recognize words in capitals, which are common in captions.
    capitals = sum(letter.isupper() for letter in text)
    return text.lower() if 2 * capitals > len(text.replace(" ", "")) else text


@cache
def _detector() -> Any:
    """Load the detector for languages with a two-letter code.

    It confuses the others (Wu, Cantonese, pidgins) with related languages.
    """
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    detector = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    detector.set_languages({code for code in detector.labels if len(code) == 2})
    return detector
