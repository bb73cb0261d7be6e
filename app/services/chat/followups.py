"""Rewrite a question so that it can be searched without the conversation.

A model rewrites a follow-up, and translates a question that is in none of the library's languages,
if there is a condenser and it is fast enough; otherwise a rule appends words of the last question.
`done.scope.query` shows the result.
"""

import re
from collections.abc import Sequence

from app.limits import QUERY_LIMIT
from app.schemas import PastTurn
from app.services.chat.citations import strip_markers
from app.services.chat.condenser import Condenser
from app.services.chat.phrasebooks import DEFAULT, phrasebook
from app.services.chat.small_talk import strip_opening
from app.services.models.prompt import Message, Prompt
from app.services.search.text import STOP_WORDS, fold, stems

_REWRITE = """\
Rewrite the last question so that it can be understood without the conversation: replace words \
such as "it", "that" or "there" by what they stand for, and add what is left unsaid. {language} \
If it stands alone already, repeat it unchanged. Reply with the question only."""
_KEEP_LANGUAGE = "Keep the language of the question."
_TRANSLATE = """\
Translate the question into {language}. Keep names as they are. Do not answer it. Reply with the \
translation only."""

# Openings that are not part of the question: an acknowledgement of the last answer …
_ACKNOWLEDGEMENT = re.compile(
    r"^\W*(?:(?:thanks|thank you|thx|ok|okay|great|good|cool|nice|alright|i see)\b[\s,.!:;–-]*)+",
    re.IGNORECASE,
)
# … or a change of subject.
_TOPIC_CHANGE = re.compile(
    r"^\W*(?:and |now )*(?:something else|by the way"
    r"|(?:another|a different|next) (?:topic|question)|changing the (?:subject|topic)"
    r"|on another (?:note|topic))\b[\s,.!:;–-]*",
    re.IGNORECASE,
)
_CONTINUATION = re.compile(
    r"^\W*(and|but|or|so|then|also|why|what about|how about|what if|what happens (if|when)"
    r"|und|aber|et|mais|y|pero|e|mas|ma|и|а|но)(?=[\s?]|$)",
    re.IGNORECASE,
)
# "Is it possible to …" refers to nothing, and "that" is more often a conjunction than a pronoun.
_REFERENCE = re.compile(
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
# In "What did Larry Page say about his father?" the pronoun refers to a name in the question.
_NAME = re.compile(r"(?<=\w\s)(?!I\b)[A-Z][^\W\d_]+")
_POSSESSIVE = re.compile(r"\b(its|his|her|their)\b", re.IGNORECASE)
_DEFINITE_ARTICLE = re.compile(r"\bthe\b", re.IGNORECASE)
_DEFINITION = re.compile(r"^\W*(what|who)(['’]s| is| are| was| were)\b", re.IGNORECASE)
# In "how fast …" the word names the measure, not the subject.
_MEASURE = re.compile(
    r"\bhow (?!(?:do|does|did|is|are|was|were|can|could|should|would|will|to|about|i|you)\b)(\w+)",
    re.IGNORECASE,
)
# A full question, unlike "and for podcasts?", which repeats the last one for another subject.
_FULL_QUESTION = re.compile(
    r"\b(how(?! about)|why|when|where|who|which|what(?! about))\b"
    r"|^\W*(and |but |so |or )?(is|are|was|were|do|does|did|can|could|should|would|will)\b",
    re.IGNORECASE,
)
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
# Low enough for the question's own words to dominate.
_MAX_APPENDED = 6
# In an unspaced script a "word" of more stems may be a whole sentence.
_MAX_STEMS = 8
# Content words that make a question self-contained; fewer are enough after an acknowledgement.
_SELF_CONTAINED, _SELF_CONTAINED_AFTER_ACKNOWLEDGEMENT = 4, 2
# The same in all words, for languages without a stop word list; more are needed after "and".
_SELF_CONTAINED_WORDS, _SELF_CONTAINED_CONTINUATION_WORDS = 6, 9


async def rewrite_question(
    question: str,
    history: Sequence[PastTurn],
    condenser: Condenser | None,
    target_language: str | None = None,
) -> tuple[str, ...]:
    """Return the queries to search for, each if those before have no answer.

    With a `target_language` (a primary language
    subtag), the first query is the question followed by the model's translation in parentheses, and
    the second the translation. A completed follow-up is followed by the question alone if that has
    a subject.
    """
    alone = strip_opening(question)
    if condenser is not None and (history or target_language):
        text = await condenser.rewrite(rewrite_prompt(question, history, target_language))
        rewritten = " ".join((text or "").split())
        if target_language and _is_searchable(rewritten):
            return f"{alone} ({rewritten})"[:QUERY_LIMIT], rewritten
        if history and _is_usable(rewritten, question, history[-1]):
            return _with_question_alone(rewritten, alone)
    if not history:
        return (alone,)
    return _with_question_alone(expand_followup(question, history[-1]), alone)


def _with_question_alone(query: str, alone: str) -> tuple[str, ...]:
    has_subject = not _has_reference(alone) and bool(stems(_MEASURE.sub("", alone), "english"))
    return (query, alone) if has_subject and query != alone else (query,)


def _is_searchable(query: str) -> bool:
    return 0 < len(query) <= QUERY_LIMIT and "\0" not in query


def _is_usable(rewritten: str, question: str, last: PastTurn) -> bool:
    """Return whether the text is a rewritten question; small models often answer it instead."""
    if not _is_searchable(rewritten):
        return False
    known = {*stems(question, "english"), *stems(last.query, "english")}
    return not known.isdisjoint(stems(rewritten, "english"))


def rewrite_prompt(
    question: str, history: Sequence[PastTurn], target_language: str | None = None
) -> Prompt:
    """Build the prompt for a rewriting model from the last three turns."""
    names = phrasebook(DEFAULT).names
    language = names.get(target_language, target_language) if target_language else None
    if not history:
        instructions = _TRANSLATE.format(language=language)
        return Prompt((Message("system", instructions), Message("user", f"Question: {question}")))
    written = f"Write it in {language}." if language else _KEEP_LANGUAGE
    conversation = "\n".join(
        f"Question: {turn.question}\nAnswer: {strip_markers(turn.answer)[:500]}"
        for turn in history[-3:]
    )
    message = f"<conversation>\n{conversation}\n</conversation>\n\nLast question: {question}"
    return Prompt((Message("system", _REWRITE.format(language=written)), Message("user", message)))


def expand_followup(question: str, last: PastTurn) -> str:
    """Append the words of the last question that a follow-up leaves out, in parentheses.

    A self-contained question is returned without an opening such as "Thanks!". The words come from
    `last.query`, which itself may be expanded, so a subject persists over several short turns.
    """
    remainder = _ACKNOWLEDGEMENT.sub("", strip_opening(question))
    bare = _TOPIC_CHANGE.sub("", remainder)
    core = bare if _WORD.search(bare) else question
    if core != bare or _TOPIC_CHANGE.search(remainder):
        return core
    if _is_self_contained(core, last, acknowledged=core != question):
        return core
    own = stems(core, "english")
    appended: dict[str, str] = {}
    for word in _WORD.findall(_subject(core, last)):
        word_stems = stems(word, "english")
        for stem in word_stems if len(word_stems) <= _MAX_STEMS else ():
            if stem not in own:
                appended.setdefault(stem, word)
    words = list(dict.fromkeys(appended.values()))[:_MAX_APPENDED]
    return f"{core} ({' '.join(words)})"[:QUERY_LIMIT] if words else core


def _subject(question: str, last: PastTurn) -> str:
    """Return the part of the last query that a follow-up is about.

    "And the release?" after "And the attack?" replaces it, so its subject is what the last question
    had left out too. "How long is it?" is about the last question as a whole.
    """
    query = last.query
    if not _has_reference(question):
        known = set(stems(last.question, "english"))
        left_out = [w for w in _WORD.findall(query) if known.isdisjoint(stems(w, "english"))]
        if any(stems(word, "english") for word in left_out):
            query = " ".join(left_out)
    return _MEASURE.sub("", query) if _FULL_QUESTION.search(question) else query


def _is_self_contained(question: str, last: PastTurn, *, acknowledged: bool) -> bool:
    if _has_reference(question):
        return False
    continuation = _CONTINUATION.search(question) is not None
    own = stems(_MEASURE.sub("", question), "english")
    words = _WORD.findall(fold(question))
    if STOP_WORDS.isdisjoint(words):
        # Keywords, or another language: only the length counts, in bigrams for unspaced scripts.
        needed = _SELF_CONTAINED_CONTINUATION_WORDS if continuation else _SELF_CONTAINED_WORDS
        return max(len(words), len(own)) >= needed
    if len(own) >= (_SELF_CONTAINED_AFTER_ACKNOWLEDGEMENT if acknowledged else _SELF_CONTAINED):
        return True
    # "How fast should the attack be?" is about something already mentioned.
    if not own or continuation or _DEFINITE_ARTICLE.search(question):
        return False
    # "What is dither?" names its subject.
    return bool(_DEFINITION.search(question)) or (len(own) > 1 and not _was_mentioned(own, last))


def _has_reference(question: str) -> bool:
    """Return whether a question refers back to something mentioned before it."""
    name = _NAME.search(question)
    if name is not None:
        question = question[: name.end()] + _POSSESSIVE.sub("", question[name.end() :])
    return _REFERENCE.search(question) is not None


def _was_mentioned(question_stems: list[str], last: PastTurn) -> bool:
    """Return whether most stems occur in the last turn or in the titles of its sources."""
    text = " ".join((last.query, last.answer, *(c.title for c in last.citations)))
    known = set(stems(text, "english"))
    return 2 * sum(stem in known for stem in question_stems) > len(question_stems)
