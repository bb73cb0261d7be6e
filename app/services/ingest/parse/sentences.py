"""Cues come in; sections of whole sentences, each with its time and speaker, go out. Pure."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import groupby, pairwise

from msgspec import Struct

from app.schemas import Sentence
from app.services.ingest.parse.cues import UNSPACED, Cue, count_words

# A sentence of more words is cut: people who talk, and captions without marks, find no end.
LONGEST = 60
# What it is cut into, at most.
PIECE = 40

# Each run of marks is tried once, from its start: a file of nothing else takes no ages.
_END = re.compile(r"(?:(?<![.!?…])[.!?…]++[\"'”’»)\]]*+(?=\s)|[؟।۔]+\s?|[。！？｡]+[」』”’）)]*)\s*")
_LAST_WORD = re.compile(r"[\w.’']+$")
# Words that end with a point in the middle of a sentence; those before a name begin with a capital
# (`10 ms.` may well end one).
_ABBREVIATION = re.compile(r"approx|bzgl|bzw|ca|cf|d\.h|e\.?g|i\.?e|u\.a|viz|vs|z\.b")
_TITLE = re.compile(r"dept|dr|gov|hon|inc|jr|ltd|mrs?|ms|mt|prof|rev|sr|st")
# Those that do so only before a number.
_NUMBERED = frozenset({"fig", "no", "nr", "p", "pp", "vol"})
_BESIDE = re.compile(f"[{UNSPACED}、。！？「」『』（），：；]")
_CLAUSE = re.compile(r"[,;:–—،؛]\s+|[、，；：]\s*")
_SPACE = re.compile(r"\s+")
_LETTER = re.compile(f"[{UNSPACED}]")


class Section(Struct, frozen=True):
    """The sentences under one heading."""

    heading: str
    sentences: tuple[Sentence, ...]


def sections(cues: Sequence[Cue]) -> list[Section]:
    """Join cues into sentences, by heading. No word is lost or said twice.

    A sentence ends at its mark, at the end of a paragraph, and where the speaker changes; times
    are in seconds, to the tenth.
    """
    return [
        Section(
            heading,
            tuple(one for stretch in _stretches(list(part)) for one in _sentences(stretch)),
        )
        for heading, part in groupby(cues, key=lambda cue: cue.heading)
    ]


def _stretches(cues: Sequence[Cue]) -> Iterator[list[Cue]]:
    stretch: list[Cue] = []
    for cue in cues:
        if stretch and (stretch[-1].closes or stretch[-1].speaker != cue.speaker):
            yield stretch
            stretch = []
        stretch.append(cue)
    if stretch:
        yield stretch


def _sentences(stretch: Sequence[Cue]) -> Iterator[Sentence]:
    text, places = _join(stretch)
    borders = [start for start, _ in places]
    ends = [end for span in _spans(text) for end in _shorten(text, span, borders)]
    for start, end in pairwise([0, *ends]):
        piece = text[start:end]
        words = piece.strip()
        if words:
            first = start + len(piece) - len(piece.lstrip())
            last = first + len(words)
            at, until = bisect_right(borders, first) - 1, bisect_left(borders, last) - 1
            yield Sentence(
                words,
                _moment(stretch[at], places[at], first),
                _moment(stretch[until], places[until], last),
                stretch[0].speaker,
            )


def _join(stretch: Sequence[Cue]) -> tuple[str, list[tuple[int, int]]]:
    """Join the texts, with a space where the script has any, and tell where each stands."""
    pieces: list[str] = []
    places: list[tuple[int, int]] = []
    length = 0
    for cue in stretch:
        words = " ".join(cue.text.split())
        if pieces and not (_BESIDE.match(words) and _BESIDE.match(pieces[-1][-1:])):
            pieces.append(" ")
            length += 1
        pieces.append(words)
        places.append((length, length + len(words)))
        length += len(words)
    return "".join(pieces), places


def _spans(text: str) -> list[tuple[int, int]]:
    """Tell where the sentences are, as their marks have it."""
    ends = [mark.end() for mark in _END.finditer(text) if _closes(text, mark)]
    if not ends or ends[-1] < len(text):
        ends.append(len(text))
    return list(pairwise([0, *ends]))


def _closes(text: str, mark: re.Match[str]) -> bool:
    following = text[mark.end() : mark.end() + 1]
    if mark[0][0] in "。！？｡؟।۔" or not following:
        return True
    if mark[0].strip() != ".":
        # `"What?" he said`, and words drawn out…
        return not following.islower()
    word = _LAST_WORD.search(text, max(0, mark.start() - 12), mark.start())
    last = word[0].casefold() if word else ""
    if last in _NUMBERED:
        return not following.isdigit()
    if _ABBREVIATION.fullmatch(last):
        return False
    if word and word[0][0].isupper() and (len(last) == 1 or _TITLE.fullmatch(last)):
        # A title, or an initial; but `So do I.`
        return last == "i"
    # `etc.` and `U.S.` may well end a sentence.
    return not (following.islower() and ("." in last or last == "etc"))


def _shorten(text: str, span: tuple[int, int], borders: Sequence[int]) -> list[int]:
    """Return the ends of the pieces of a sentence: one, or more where it is far too long.

    It is cut between cues if it can be, else behind a comma, else between words; where a script
    has no spaces, anywhere.
    """

    def between_cues(start: int, end: int) -> Sequence[int]:
        return borders[bisect_right(borders, start) : bisect_left(borders, end)]

    def behind(pattern: re.Pattern[str], start: int, end: int) -> list[int]:
        return [mark.end() for mark in pattern.finditer(text, start, end)]

    pieces = [span]
    for points in (
        between_cues,
        partial(behind, _CLAUSE),
        partial(behind, _SPACE),
        partial(behind, _LETTER),
    ):
        pieces = [piece for start, end in pieces for piece in _pieces(text, start, end, points)]
    return [end for _, end in pieces]


def _pieces(
    text: str, start: int, end: int, points: Callable[[int, int], Sequence[int]]
) -> list[tuple[int, int]]:
    if count_words(text[start:end]) <= LONGEST:
        return [(start, end)]
    cuts = [start]
    size = 0
    for point, following in pairwise(
        [start, *(p for p in points(start, end) if start < p < end), end]
    ):
        step = count_words(text[point:following])
        if size and size + step > PIECE:
            cuts.append(point)
            size = 0
        size += step
    return list(pairwise([*cuts, end]))


def _moment(cue: Cue, place: tuple[int, int], letter: int) -> float | None:
    """Tell when a letter is said: between its cue's start and end, by letters."""
    if cue.start is None or cue.end is None:
        return None
    start, end = place
    return round(cue.start + (cue.end - cue.start) * (letter - start) / (end - start or 1), 1)
