"""A follow-up and the turns before it come in; a question that stands alone goes out.

A model writes it where there is one and it is quick enough; else a plain rule carries the words
of the last question over. Retrieval searches the outcome, and `done.scope.query` shows it.
"""

import logging
import re
from collections.abc import Sequence
from typing import Protocol

from app.errors import ModelFailed
from app.schemas import QUERY_LIMIT, PastTurn
from app.services.citations import without_marks
from app.services.prompt import Message, Prompt
from app.services.text import STOP_WORDS, fold, keys

log = logging.getLogger(__name__)

ORDERS = """\
Rewrite the last question so that it can be understood without the conversation: replace words \
such as "it", "that" or "there" by what they stand for, and add what is left unsaid. Keep the \
language of the question. If it stands alone already, repeat it unchanged. Reply with the \
question only."""

_GOES_ON = re.compile(r"^\W*(and|but|or|so|then|also|why|what about|how about)\b", re.IGNORECASE)
# "Is it possible to …" points at nothing; "that" joins clauses more often than it points.
_POINTS_BACK = re.compile(
    r"(?<!\bis )\b(it|its|this|these|those|they|them|their|he|him|his|she|her)\b", re.IGNORECASE
)
_THE = re.compile(r"\bthe\b", re.IGNORECASE)
_DEFINES = re.compile(r"^\W*(what|who)(['’]s| is| are| was| were)\b", re.IGNORECASE)
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_MOST_CARRIED = 8
# Without spaces a "word" may be a whole question: that is no word to carry.
_LONGEST_CARRIED = 8


class Condenser(Protocol):
    """The part of a model client that writes one short text."""

    async def complete(self, prompt: Prompt, deadline: float) -> str:
        """Return the whole answer within `deadline` seconds, or raise ModelFailed."""
        ...


async def condense(
    question: str, history: Sequence[PastTurn], model: Condenser | None, deadline: float
) -> str:
    """Return the question to search for; without history it is the question itself."""
    if not history:
        return question
    if model is not None:
        try:
            written = await model.complete(condense_prompt(question, history), deadline)
        except ModelFailed as error:
            log.info("the follow-up was condensed by rule: %s", error.detail)
        else:
            line = " ".join(written.split())
            if _is_rewriting(line, question, history[-1]):
                return line
    return carry_over(question, history[-1])


def _is_rewriting(line: str, question: str, last: PastTurn) -> bool:
    """Tell whether a model did what it was asked: small ones answer, or say something else."""
    if not 0 < len(line) <= QUERY_LIMIT or "\0" in line:
        return False
    spoken_of = {*keys(question, "english"), *keys(last.query, "english")}
    return not spoken_of.isdisjoint(keys(line, "english"))


def condense_prompt(question: str, history: Sequence[PastTurn]) -> Prompt:
    """Build the prompt that asks for a question that stands alone, from the last three turns."""
    told = "\n".join(
        f"Question: {turn.question}\nAnswer: {without_marks(turn.answer)[:500]}"
        for turn in history[-3:]
    )
    asked = f"<conversation>\n{told}\n</conversation>\n\nLast question: {question}"
    return Prompt((Message("system", ORDERS), Message("user", asked)))


def carry_over(question: str, last: PastTurn) -> str:
    """Add the words of the last question that a follow-up leaves out, in brackets.

    A question that stands alone is returned as it is. `last.query` is what was searched last, so
    that the subject of a conversation lives on over several short turns.
    """
    own = keys(question, "english")
    if _stands_alone(question, len(own)):
        return question
    carried: dict[str, str] = {}
    for word in _WORD.findall(last.query):
        pairs = keys(word, "english")
        for key in pairs if len(pairs) <= _LONGEST_CARRIED else ():
            if key not in own:
                carried.setdefault(key, word)
    words = list(dict.fromkeys(carried.values()))[:_MOST_CARRIED]
    return f"{question} ({' '.join(words)})"[:QUERY_LIMIT] if words else question


def _stands_alone(question: str, subjects: int) -> bool:
    """Tell whether a question with so many words of its own needs nothing from the last one."""
    if _GOES_ON.search(question) or _POINTS_BACK.search(question):
        return False
    words = _WORD.findall(fold(question))
    if STOP_WORDS.isdisjoint(words):
        # Bare words, or another language: there only the length tells; without spaces, the pairs.
        return max(len(words), subjects) > 5
    if subjects == 0 or subjects >= 4:
        # "Thanks!" asks nothing; four words say what they are about.
        return True
    # "How fast should the attack be?": of what was spoken of. "How do I tune a snare?": of any.
    return not _THE.search(question) and (subjects >= 2 or _DEFINES.search(question) is not None)
