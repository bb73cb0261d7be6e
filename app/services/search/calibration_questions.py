"""Off-topic questions for calibration, whole and reduced to keywords.

`off_topic_questions.tsv` holds a fixed set of questions about subjects from everyday life.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from itertools import cycle

from msgspec import Struct

from app.infra.database import Connection
from app.services.search.plan import LANGUAGES
from app.services.search.text import stems

# The text search configuration of most passages, and their number in the library.
LIBRARY = """
SELECT (SELECT language FROM passages GROUP BY language ORDER BY count(*) DESC, language LIMIT 1)
           AS configuration,
       (SELECT count(*) FROM passages) AS passages
"""
# $1 text search configuration · $2 stems
DOCUMENT_FREQUENCIES = """
SELECT lexeme, passages FROM terms WHERE language = $1 AND lexeme = ANY($2::text[])
"""

OFF_TOPIC_FILE = "off_topic_questions.tsv"
# Questions per language that the library does not have.
PER_FOREIGN_LANGUAGE = 15
# How people ask about a keyword.
_PHRASES = ("what is {}?", "{}", "how does {} work?", "tell me about {}")
_WORD = re.compile(r"[^\W\d_]{3,}(?:['’-][^\W_]+)*")


class OffTopicQuestion(Struct, frozen=True):
    """A question about another subject; `field` is the field of knowledge it belongs to."""

    language: str
    field: str
    question: str


class CalibrationQuestions(Struct, frozen=True):
    """Off-topic questions for a library with this number of passages.

    `foreign` are in other languages than the library's; `configuration` is the text search
    configuration of most passages.
    """

    passages: int
    own_language: list[str]
    foreign: list[str]
    configuration: str


async def read_calibration_questions(connection: Connection) -> CalibrationQuestions:
    """Choose the questions by the languages of the library, and keywords by its words."""
    library = await connection.fetchrow(LIBRARY)
    assert library is not None  # noqa: S101 -- a SELECT without FROM returns a row
    languages = [row["language"] for row in await connection.fetch(LANGUAGES)]
    configuration: str = library["configuration"] or "simple"
    whole = [one.question for one in off_topic_questions(languages)]
    lexemes = list(words_of(whole, configuration))
    frequencies = {
        row["lexeme"]: row["passages"]
        for row in await connection.fetch(DOCUMENT_FREQUENCIES, configuration, lexemes)
    }
    return CalibrationQuestions(
        passages=library["passages"],
        own_language=whole + keyword_questions(whole[::2], frequencies, configuration),
        foreign=[one.question for one in foreign_questions(languages)],
        configuration=configuration,
    )


def off_topic_questions(languages: Sequence[str]) -> list[OffTopicQuestion]:
    """Return the questions in these languages, or the English ones if there are none."""
    questions = _read()
    return [one for one in questions if one.language in languages] or [
        one for one in questions if one.language == "en"
    ]


def foreign_questions(languages: Sequence[str]) -> list[OffTopicQuestion]:
    """Return some questions in each of the languages other than these."""
    questions = _read()
    foreign = dict.fromkeys(one.language for one in questions if one.language not in languages)
    return [
        one
        for language in foreign
        for one in [one for one in questions if one.language == language][::-1][
            :PER_FOREIGN_LANGUAGE
        ]
    ]


def keyword_questions(
    questions: Iterable[str], document_frequency: Mapping[str, int], configuration: str
) -> list[str]:
    """Reduce each question to its one or two rarest words that the library has.

    `document_frequency` maps stems of the text search configuration to numbers of passages.
    Questions without such a word are left out.
    """
    reduced: list[str] = []
    phrases = cycle(_PHRASES)
    for number, question in enumerate(questions):
        known = _known_words(question, document_frequency, configuration)
        if known:
            rarest = min(known, key=lambda word: known[word])
            # Every other one with the word after it or before it.
            pair = re.search(
                rf"(\w+ )?\b{re.escape(rarest)}\b( \w+)?", question if number % 2 else ""
            )
            words = [rarest]
            if pair:
                before, after = (pair[1] or "").strip(), (pair[2] or "").strip()
                words = (
                    [rarest, after]
                    if after in known
                    else [before, rarest]
                    if before in known
                    else words
                )
            reduced.append(next(phrases).format(" ".join(words).lower()))
    return list(dict.fromkeys(reduced))


def words_of(questions: Iterable[str], configuration: str) -> set[str]:
    """Return the stems of the questions' words that may become keywords."""
    return {
        stem
        for question in questions
        for word in _WORD.findall(question)
        for stem in stems(word, configuration)
    }


def _known_words(
    question: str, document_frequency: Mapping[str, int], configuration: str
) -> dict[str, int]:
    known: dict[str, int] = {}
    for word in _WORD.findall(question):
        of_word = stems(word, configuration)
        if len(of_word) == 1 and (frequency := document_frequency.get(of_word[0], 0)):
            known[word] = frequency
    return known


def _read() -> list[OffTopicQuestion]:
    text = files("app.services.search").joinpath(OFF_TOPIC_FILE).read_text(encoding="utf-8")
    return [OffTopicQuestion(*line.split("\t")) for line in text.splitlines()[1:]]
