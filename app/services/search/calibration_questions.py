"""Questions for calibration: some made from the library's own sentences, some off-topic.

`off_topic_questions.tsv` holds a fixed set of questions about other subjects.
"""

import random
import re
from collections.abc import Sequence
from importlib.resources import files
from itertools import groupby

from msgspec import Struct

from app.schemas import Sentence
from app.services.search.text import STOP_WORDS, has_content_words, is_unspaced

OFF_TOPIC_FILE = "off_topic_questions.tsv"
# How many questions are made from the library.
QUESTIONS = 300
# The share of a sentence's words that a question keeps, and of a question's words that come from
# another sentence.
KEPT, NOISE = 0.65, 0.35
# In words: sentences to make questions from, and the part of one that a question is made from.
MIN_SENTENCE, MAX_PART = 8, 20


class OffTopicQuestion(Struct, frozen=True):
    """A question about another subject; `field` is the field of knowledge it belongs to."""

    language: str
    field: str
    question: str


def off_topic_questions(languages: Sequence[str]) -> list[OffTopicQuestion]:
    """Return the questions in these languages, or the English ones if there are none."""
    text = files("app.services.search").joinpath(OFF_TOPIC_FILE).read_text(encoding="utf-8")
    questions = [OffTopicQuestion(*line.split("\t")) for line in text.splitlines()[1:]]
    return [one for one in questions if one.language in languages] or [
        one for one in questions if one.language == "en"
    ]


def own_questions(passages: Sequence[Sequence[Sentence]]) -> list[str]:
    """Make questions that resemble sentences, as if asked without knowing their exact words."""
    rng = random.Random(len(passages))  # noqa: S311 -- reproducible, and not a secret
    pool = [_words(one.text) for sentences in passages for one in sentences]
    pool = [words for words in pool if len(words) >= MIN_SENTENCE]
    questions: list[str] = []
    for _ in range(QUESTIONS if pool else 0):
        words, others = rng.choice(pool), rng.choice(pool)
        start = rng.randrange(max(1, len(words) - MAX_PART + 1))
        kept = [
            word
            for word in words[start : start + MAX_PART]
            if word.lower() in STOP_WORDS or rng.random() < KEPT
        ]
        noise = [word for word in others if word.lower() not in STOP_WORDS]
        rng.shuffle(noise)
        content_words = sum(word.lower() not in STOP_WORDS for word in kept)
        for word in noise[: max(1, round(content_words * NOISE / (1 - NOISE)))]:
            kept.insert(rng.randrange(len(kept) + 1), word)
        question = " ".join(kept)
        if has_content_words(question):
            questions.append(question)
    return questions


def _words(text: str) -> list[str]:
    """Split a sentence into words; unspaced scripts into pieces of about a word's length."""
    return [
        piece
        for word in re.findall(r"[^\W_]+(?:['’-][^\W_]+)*", text)
        for unspaced, run in groupby(word, is_unspaced)
        for piece in (re.findall(".{1,3}", "".join(run)) if unspaced else ["".join(run)])
    ]
