"""Hostile text takes time in proportion to its length, whole and in pieces.

Sources and model output may be any text. A function with a regular expression that tries each
position, or that scans again what it has held back, would take hours for a megabyte.
"""

from collections.abc import Callable
from contextlib import suppress
from time import process_time

import pytest

from app.infra.http.sse import BadEvent, SSEEvent
from app.services.chat.citations import CitationFilter, strip_markers
from app.services.chat.followups import expand_followup, rewrite_prompt
from app.services.chat.prompt import answer_prompt, rework_prompt
from app.services.chat.question_language import detect_question_language
from app.services.chat.small_talk import find_small_talk, strip_opening
from app.services.models.chunks import parse_documents
from app.services.models.completion import CompletionDecoder
from app.services.models.extractive.model import extract_answer
from app.services.models.server_error import parse_error
from app.services.models.thoughts import ThoughtFilter, ThoughtMarks
from app.services.search.spelling import _WORD as MISSPELT_WORD
from app.services.search.text import fold, segment, slugify, stems
from app.services.search.unknown_terms import find_unknown_terms
from tests.services.samples import past, source

# The lengths of a text that is tried first, to fail early, and of the longest one.
FIRST, LONGEST = 1 << 14, 1 << 17
# The question's limit, and that of a sentence that is quoted.
SHORT = 1_000
# Seconds for a character: ten times as long as the slowest pattern takes. A quadratic scan takes a
# hundred times as long for the longest text.
LIMIT = 40e-6
MARKS = ThoughtMarks("(plan)…(/plan)")

PATTERNS = {
    "blanks": " ",
    "line feeds": "\n",
    "brackets": "[",
    "open markers": "[1",
    "open lists": "[1,",
    "links": "[1](http://a ",
    "lenticular brackets": "【",
    "digits": "1",
    "numbers": "1, ",
    "quotes": '"',
    "backslashes": "\\",
    "opening marks": "<think>",
    "closing marks": "</think>",
    "tags": "<a ",
    "combining marks": "\u0323\u0301",
    "hangul": "\u1100\u1161\u11a8",
    "han": "漢",
    "letters": "a",
    "camel case": "aaBaa",
    "ligatures": "\ufb03",
    "apostrophes": "a'",
    "interjections": "yeah, ",
}
# Before and after the run: characters that a pattern fails at.
FRAMES = (("", ""), ("[1] ", "x1"))

QUESTION = "How many things does it cost, and who said why it was so long?"
EARLIER = past("How fast should the attack be?", "Fast [1].")


def hostile(pattern: str, length: int) -> list[str]:
    run = pattern * (length // len(FRAMES) // len(pattern))
    return [before + run + after for before, after in FRAMES]


def seconds(function: Callable[[str], object], texts: list[str]) -> float:
    started_at = process_time()
    for text in texts:
        with suppress(BadEvent):
            function(text)
    return process_time() - started_at


def cite(text: str) -> None:
    citations = CitationFilter(6)
    citations.feed(text)
    citations.flush()


def cite_in_pieces(text: str) -> None:
    citations = CitationFilter(6)
    passed = 0
    for start in range(0, len(text), 7):
        passed += len(citations.feed(text[start : start + 7]))
        # Markers are dropped or shortened, but nothing longer than one is held back.
        assert len(citations._held) < 1_500
    citations.flush()


def remove_thoughts(text: str, hold: bool = False) -> None:
    thoughts = ThoughtFilter(MARKS, hold)
    for start in range(0, len(text), 7):
        thoughts.add(text[start : start + 7])
        assert len(thoughts._held) < 1_500
    thoughts.add("", last=True)


def decode(text: str) -> None:
    decoder = CompletionDecoder(ThoughtFilter(MARKS))
    decoder.decode(SSEEvent('{"choices": [{"delta": {"content": "a"}}]}' + text))


def sentences(text: str) -> tuple[str, ...]:
    """Split a text into sentences that are short enough to be quoted."""
    return tuple(text[start : start + SHORT] for start in range(0, len(text), SHORT))


def extract(text: str) -> None:
    extract_answer(QUESTION, (source(1, *sentences(text)), source(2, text, title=text)))


def prompt(text: str) -> None:
    answer_prompt(
        QUESTION,
        QUESTION,
        (source(1, text, title=text),),
        (),
        history_tokens=1_500,
        source_tokens=10_000,
    )


LONG: dict[str, Callable[[str], object]] = {
    "citations": cite,
    "citations in pieces": cite_in_pieces,
    "markers": strip_markers,
    "thoughts": lambda text: ThoughtFilter(MARKS).add(text, last=True),
    "thoughts in pieces": remove_thoughts,
    "held thoughts": lambda text: remove_thoughts(text, hold=True),
    "documents of an event": lambda text: list(parse_documents("{}" + text)),
    "event": decode,
    "error of a server": lambda text: parse_error(text.encode()),
    "folded text": fold,
    "slug": slugify,
    "segments": segment,
    "stems": lambda text: stems(text, "english"),
    "extractive answer": extract,
    "prompt": prompt,
    "follow-up of a long answer": lambda text: expand_followup("Is it so?", past("How?", text)),
    "condenser's prompt": lambda text: rewrite_prompt("Is it?", [past("How?", text)]),
    "rework": lambda text: rework_prompt("Shorter", [past("How?", text)], 1_500),
}
QUESTIONS: dict[str, Callable[[str], object]] = {
    "follow-up": lambda text: expand_followup(text, EARLIER),
    "follow-up of a long question": lambda text: expand_followup("And that?", past(text)),
    "opening": strip_opening,
    "small talk": find_small_talk,
    "language": detect_question_language,
    "unknown terms": lambda text: find_unknown_terms(text, ["a"], "english"),
    "misspelt words": lambda text: MISSPELT_WORD.sub("", text),
    "question of an extractive answer": lambda text: extract_answer(text, (source(1, QUESTION),)),
}


@pytest.mark.parametrize("name", LONG)
def test_hostile_text_takes_linear_time(name: str) -> None:
    for length in (FIRST, LONGEST):
        for pattern in PATTERNS.values():
            took = seconds(LONG[name], hostile(pattern, length))
            assert took < LIMIT * length, (pattern, length)


@pytest.mark.parametrize("name", QUESTIONS)
def test_hostile_questions_take_little_time(name: str) -> None:
    for pattern in PATTERNS.values():
        assert seconds(QUESTIONS[name], hostile(pattern, 2 * (SHORT - 6))) < 0.5, pattern
