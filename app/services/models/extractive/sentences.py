"""Sentences as candidates for a quotation, and which of them say nothing on their own."""

import re

from msgspec import Struct

from app.schemas import Source
from app.services.models.extractive.constants import MAX_SENTENCE_LENGTH
from app.services.search.text import stems

_QUESTION_MARKS = ("?", "？", "؟")
_CLOSING = " \t\n\"'”’»)]"
_GREETING = re.compile(
    r"\W*(?:hi|hello|hey|welcome|thanks?(?! to\b)|goodbye|bye|good (?:morning|afternoon|evening))\b"
    r"|\W*(?:in )?this (?:video|episode|talk|presentation|is a short|is a quick)\b",
    re.IGNORECASE,
)
# Announcements, acknowledgements and URLs, in lower case.
_ANNOUNCEMENTS = (
    *("my name is ", "with me is ", "with us is ", "with me today is ", "with us today is "),
    *("joining me ", "joining us ", "i'm joined by ", "please welcome "),
    *("thanks for ", "thank you for ", "thanks so much for ", "thank you so much for "),
    *(
        f"today{comma} {who}{will} "
        for comma in ("", ",")
        for who in ("we", "i")
        for will in (
            " will",
            "'ll",
            "’ll",
            "'re going to",
            "’re going to",
            "'m going to",
            "’m going to",
        )
    ),
    *("today we are going to ", "http://", "https://", "www."),
)
_INTERJECTIONS = re.compile(
    r"\W*(?:(?:yeah|yep|yes|no|nope|right|okay|ok|oh|ah|so|well|but|and|exactly|absolutely|totally|sure"
    r"|true|wow|great|cool|nice|you know|i know|i see|i mean|i think so|i agree|thank you|thanks"
    r"|of course|mm-?hm+|hm+|uh|um|huh|agreed|interesting|perfect|awesome|gotcha|got it|fair enough"
    r"|definitely|certainly|indeed|correct|there it is|that['’]s it|that['’]s right|good question"
    r"|great question|ja|nein|genau|okej|oui|non|sí|да|нет|так|ага|угу|对|是的|好的|嗯)\b\W*){1,8}",
    re.IGNORECASE,
)
# Brackets that look like our citation markers.
_MARKER = re.compile(r"\[\s?\^?\d")
# Sentences that are only a URL, the name of a speaker, or a sound in brackets.
_NOT_SPEECH = re.compile(
    r"\W*(?:\w++:\s*)?(?:https?://|www\.)\S++\W*+$"
    r"|\W*\w++(?:[ .]{1,2}\w++){0,2} ?[:–-]\W*+$|[^\w\[(]*[\[(][^\])]*[\])]\W*+$"
)
# A sentence that was not understood in full, that begins in the middle, or that breaks off.
_INAUDIBLE = re.compile(r"\[[\w ]{3,30}\]")
_BEGINS_INSIDE = re.compile(r"\W*(?:\w{1,30}:\s*)?(?:\.\.|…|[a-zà-öø-ÿа-яё])")
_BREAKS_OFF = ("...", "…", ",", "-", "–", "—")
_ASKS = re.compile(r"\W*(?:q|question|frage|pregunta|вопрос|问)\s*[:–-]", re.IGNORECASE)


class Candidate(Struct, frozen=True, eq=False):
    """A sentence that may be quoted; `index` is its position in its source.

    `words` is its length; two letters of a script without spaces count as one word.
    """

    source: Source
    index: int
    text: str
    stems: tuple[str, ...]
    words: int

    @property
    def number(self) -> int:
        """The number of its source."""
        return self.source.citation.number

    @property
    def speaker(self) -> str | None:
        """Who says it, if known."""
        return self.source.sentences[self.index].speaker


def candidates_of(source: Source) -> list[Candidate]:
    """Return the sentences of a source in order, without those that are too long to quote."""
    candidates = []
    for index, sentence in enumerate(source.sentences):
        if len(sentence.text) > MAX_SENTENCE_LENGTH:
            continue
        found = tuple(stems(sentence.text, source.language))
        # Unspaced scripts have a stem per letter.
        words = max(len(sentence.text.split()), len(found) // 2)
        candidates.append(Candidate(source, index, sentence.text, found, words))
    return candidates


def is_quotable(sentence: str) -> bool:
    """Return whether a sentence is more than a URL, a name or a sound, and has no `[1]` in it."""
    if "[" in sentence and _MARKER.search(sentence):
        return False
    return _NOT_SPEECH.match(sentence) is None


def is_question(sentence: str) -> bool:
    """Return whether a sentence ends with a question mark, or a label says that it is asked."""
    return bool(sentence.rstrip(_CLOSING).endswith(_QUESTION_MARKS) or _ASKS.match(sentence))


def says_nothing(sentence: str) -> bool:
    """Return whether a sentence is a question, a greeting, an announcement or interjections."""
    return bool(
        is_question(sentence)
        or _GREETING.match(sentence)
        or _INTERJECTIONS.fullmatch(sentence)
        or any(map(sentence.lower().__contains__, _ANNOUNCEMENTS))
    )


def is_incomplete(sentence: str) -> bool:
    """Return whether a sentence is cut off at either end, or marked as not understood in full."""
    return bool(
        sentence.endswith(_BREAKS_OFF)
        or _BEGINS_INSIDE.match(sentence)
        or ("[" in sentence and _INAUDIBLE.search(sentence))
    )
