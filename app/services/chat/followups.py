"""A follow-up and the turns before it come in; a question that stands alone goes out.

A model writes it where there is one and it is quick enough; else a plain rule carries the words
of the last question over. Retrieval searches the outcome, and `done.scope.query` shows it.
"""

import logging
import re
from collections.abc import Sequence
from typing import Protocol

from app.errors import ModelFailed
from app.limits import QUERY_LIMIT
from app.schemas import PastTurn
from app.services.chat.citations import without_marks
from app.services.models.prompt import Message, Prompt
from app.services.search.text import STOP_WORDS, fold, keys

log = logging.getLogger(__name__)

ORDERS = """\
Rewrite the last question so that it can be understood without the conversation: replace words \
such as "it", "that" or "there" by what they stand for, and add what is left unsaid. Keep the \
language of the question. If it stands alone already, repeat it unchanged. Reply with the \
question only."""

# Said before a question and no part of it: that the last answer will do …
_CLOSES = re.compile(
    r"^\W*(?:(?:thanks|thank you|thx|ok|okay|great|good|cool|nice|alright|i see)\b[\s,.!:;–-]*)+",
    re.IGNORECASE,
)
# … or that another subject begins.
_SWITCHES = re.compile(
    r"^\W*(?:and |now )*(?:something else|by the way"
    r"|(?:another|a different|next) (?:topic|question)|changing the (?:subject|topic)"
    r"|on another (?:note|topic))\b[\s,.!:;–-]*",
    re.IGNORECASE,
)
_GOES_ON = re.compile(
    r"^\W*(and|but|or|so|then|also|why|what about|how about|what if|what happens (if|when)"
    r"|und|aber|et|mais|y|pero|e|mas|ma|и|а|но)(?=[\s?]|$)",
    re.IGNORECASE,
)
# "Is it possible to …" points at nothing; "that" joins clauses more often than it points.
_POINTS_BACK = re.compile(
    r"\bit(?! (?:possible|necessary|true|normal|usual|legal)\b)\b"
    r"|\b(its|this|these|those|they|them|their|theirs|he|him|his|she|her|hers)\b"
    r"|\bthat(?=\s*([?.!,;]|$))"
    r"|\b(is|was|does|did|would|will|can|could|for|of|about|with|like|after|before|than) that\b"
    r"|\b(is|was|does|did|would|could|should|ca|wo)n['’]t that\b"
    r"|\b(which|this|that|another|first|second|third|last|other|next) ones?\b"
    r"|\bones?(?=\s*([?.!,;]|$))"
    r"|\b(then|too|as well|instead)(?=\s*([?.!]|$))",
    re.IGNORECASE,
)
# "What did Larry Page say about his father?": whose is said before, by a name within the question.
_NAME = re.compile(r"(?<=\w\s)(?!I\b)[A-Z][^\W\d_]+")
_WHOSE = re.compile(r"\b(its|his|her|their)\b", re.IGNORECASE)
_THE = re.compile(r"\bthe\b", re.IGNORECASE)
_DEFINES = re.compile(r"^\W*(what|who)(['’]s| is| are| was| were)\b", re.IGNORECASE)
# "How fast …", "how much …": the word says what is asked, not of what.
_MEASURE = re.compile(
    r"\bhow (?!(?:do|does|did|is|are|was|were|can|could|should|would|will|to|about|i|you)\b)(\w+)",
    re.IGNORECASE,
)
# A question of its own, unlike "and for podcasts?", which asks the last one again.
_ASKS = re.compile(
    r"\b(how(?! about)|why|when|where|who|which|what(?! about))\b"
    r"|^\W*(and |but |so |or )?(is|are|was|were|do|does|did|can|could|should|would|will)\b",
    re.IGNORECASE,
)
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
# So few that they never drown the words of the question itself.
_MOST_CARRIED = 6
# Without spaces a "word" may be a whole question: that is no word to carry.
_LONGEST_CARRIED = 8
# So many words that say something make a question clear, and fewer once the last one is closed.
_CLEAR, _CLEAR_AFRESH = 4, 2
# Where we know no words of grammar, of all its words so many; more after "and".
_CLEAR_WORDS, _CLEAR_WORDS_ON = 6, 9


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

    A question that stands alone is returned without "thanks" and the like, else as it is.
    `last.query` is what was searched last, so that the subject of a conversation lives on over
    several short turns.
    """
    anew = _SWITCHES.sub("", _CLOSES.sub("", question))
    asked = anew if _WORD.search(anew) else question
    if asked != anew or _SWITCHES.search(_CLOSES.sub("", question)):
        return asked
    if _stands_alone(asked, last, closed=asked != question):
        return asked
    own = keys(asked, "english")
    carried: dict[str, str] = {}
    for word in _WORD.findall(_subject(asked, last)):
        pairs = keys(word, "english")
        for key in pairs if len(pairs) <= _LONGEST_CARRIED else ():
            if key not in own:
                carried.setdefault(key, word)
    words = list(dict.fromkeys(carried.values()))[:_MOST_CARRIED]
    return f"{asked} ({' '.join(words)})"[:QUERY_LIMIT] if words else asked


def _subject(question: str, last: PastTurn) -> str:
    """Return the part of the last query that a follow-up is about.

    "And the release?" after "and the attack?" takes its place: what both are about is what the
    last question had left out itself. "How long is it?" is about the last question as a whole.
    """
    query = last.query
    if not _points_back(question):
        asked = set(keys(last.question, "english"))
        left_out = [w for w in _WORD.findall(query) if not asked.intersection(keys(w, "english"))]
        if any(keys(word, "english") for word in left_out):
            query = " ".join(left_out)
    return _MEASURE.sub("", query) if _ASKS.search(question) else query


def _stands_alone(question: str, last: PastTurn, *, closed: bool) -> bool:
    """Tell whether a question needs nothing from the last one, which may have been `closed`."""
    if _points_back(question):
        return False
    goes_on = _GOES_ON.search(question) is not None
    own = keys(_MEASURE.sub("", question), "english")
    words = _WORD.findall(fold(question))
    if STOP_WORDS.isdisjoint(words):
        # Bare words, or another language: only the length tells; without spaces, the pairs.
        return max(len(words), len(own)) >= (_CLEAR_WORDS_ON if goes_on else _CLEAR_WORDS)
    if len(own) >= (_CLEAR_AFRESH if closed else _CLEAR):
        return True
    # "How fast should the attack be?": of what was spoken of.
    if not own or goes_on or _THE.search(question):
        return False
    # "What is dither?" says what it is about.
    return bool(_DEFINES.search(question)) or (len(own) > 1 and not _was_spoken_of(own, last))


def _points_back(question: str) -> bool:
    """Tell whether a question has a word for what was spoken of before it."""
    name = _NAME.search(question)
    if name is not None:
        question = question[: name.end()] + _WHOSE.sub("", question[name.end() :])
    return _POINTS_BACK.search(question) is not None


def _was_spoken_of(subjects: list[str], last: PastTurn) -> bool:
    """Tell whether most of a question's words stand in the last turn or its sources' titles."""
    told = " ".join((last.query, last.answer, *(c.title for c in last.citations)))
    known = set(keys(told, "english"))
    return 2 * sum(subject in known for subject in subjects) > len(subjects)
