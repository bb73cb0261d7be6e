"""Join cues into whole sentences with times and speakers, grouped by heading."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import groupby, pairwise

from msgspec import Struct

from app.schemas import Sentence
from app.services.ingest.bounds import MAX_NAME, MAX_SENTENCE
from app.services.ingest.names import clean_name
from app.services.ingest.parse.cues import Cue
from app.services.ingest.parse.words import UNSPACED_SCRIPTS, count_words

# A longer sentence is cut into pieces: speech and unpunctuated captions may never end one.
MAX_SENTENCE_WORDS = 60
MAX_PIECE_WORDS = 40

# Possessive quantifiers keep the time linear for a file that is all punctuation.
_SENTENCE_END = re.compile(
    r"(?:(?<![.!?…])[.!?…]++[\"'”’»)\]]*+(?=\s)|[؟।۔]+\s?|[。！？｡]+[」』”’）)]*)\s*"
)
_LAST_WORD = re.compile(r"[\w.’']+$")
# Abbreviations whose full stop does not end a sentence.
_ABBREVIATION = re.compile(r"approx|bzgl|bzw|ca|cf|d\.h|e\.?g|i\.?e|u\.a|viz|vs|z\.b")
# The same if capitalised, before a name (`10 ms.` may end a sentence).
_TITLE = re.compile(r"dept|dr|gov|hon|inc|jr|ltd|mrs?|ms|mt|prof|rev|sr|st")
# The same before a number.
_BEFORE_NUMBER = frozenset({"fig", "no", "nr", "p", "pp", "vol"})
# Lines are joined without a space between two of these.
_NO_SPACE_BESIDE = re.compile(f"[{UNSPACED_SCRIPTS}、。！？「」『』（），：；]")
_CLAUSE_END = re.compile(r"[,;:–—،؛]\s+|[、，；：]\s*")
_SPACE = re.compile(r"\s+")
_UNSPACED_LETTER = re.compile(f"[{UNSPACED_SCRIPTS}]")


class Section(Struct, frozen=True):
    """The sentences under one heading."""

    heading: str
    sentences: tuple[Sentence, ...]


def build_sections(cues: Sequence[Cue]) -> list[Section]:
    """Join cues into sentences under their headings, without losing or repeating a word.

    A sentence ends at its punctuation, at the end of a paragraph and where the speaker changes.
    Its times are in seconds, rounded to tenths.
    """
    return [
        Section(
            heading,
            tuple(
                sentence for run in _split_runs(list(group)) for sentence in _split_sentences(run)
            ),
        )
        for heading, group in groupby(cues, key=lambda cue: cue.heading)
    ]


def _split_runs(cues: Sequence[Cue]) -> Iterator[list[Cue]]:
    """Split cues where a paragraph ends or the speaker changes."""
    run: list[Cue] = []
    for cue in cues:
        if run and (run[-1].closes or run[-1].speaker != cue.speaker):
            yield run
            run = []
        run.append(cue)
    if run:
        yield run


def _split_sentences(run: Sequence[Cue]) -> Iterator[Sentence]:
    text, spans = _join(run)
    cue_starts = [start for start, _ in spans]
    speaker = clean_name(run[0].speaker or "", MAX_NAME) or None
    ends = [end for span in _sentence_spans(text) for end in _piece_ends(text, span, cue_starts)]
    for start, end in pairwise([0, *ends]):
        piece = text[start:end]
        words = piece.strip()
        if words:
            first = start + len(piece) - len(piece.lstrip())
            last = first + len(words)
            # The cues that the sentence begins and ends in.
            n, m = bisect_right(cue_starts, first) - 1, bisect_left(cue_starts, last) - 1
            yield Sentence(
                words,
                _time_at(run[n], spans[n], first),
                _time_at(run[m], spans[m], last),
                speaker,
            )


def _join(run: Sequence[Cue]) -> tuple[str, list[tuple[int, int]]]:
    """Join the cues' texts, and return the joined text with each cue's span in it."""
    pieces: list[str] = []
    spans: list[tuple[int, int]] = []
    length = 0
    for cue in run:
        words = " ".join(cue.text.split())
        if pieces and not (
            _NO_SPACE_BESIDE.match(words) and _NO_SPACE_BESIDE.match(pieces[-1][-1:])
        ):
            pieces.append(" ")
            length += 1
        pieces.append(words)
        spans.append((length, length + len(words)))
        length += len(words)
    return "".join(pieces), spans


def _sentence_spans(text: str) -> list[tuple[int, int]]:
    ends = [mark.end() for mark in _SENTENCE_END.finditer(text) if _ends_sentence(text, mark)]
    if not ends or ends[-1] < len(text):
        ends.append(len(text))
    return list(pairwise([0, *ends]))


def _ends_sentence(text: str, mark: re.Match[str]) -> bool:
    following = text[mark.end() : mark.end() + 1]
    if mark[0][0] in "。！？｡؟।۔" or not following:
        return True
    if mark[0].strip() != ".":
        # Not in `"What?" he asked` or `well… maybe`.
        return not following.islower()
    word = _LAST_WORD.search(text, max(0, mark.start() - 12), mark.start())
    last = word[0].casefold() if word else ""
    if last in _BEFORE_NUMBER:
        return not following.isdigit()
    if _ABBREVIATION.fullmatch(last):
        return False
    if word and word[0][0].isupper() and (len(last) == 1 or _TITLE.fullmatch(last)):
        # A title or an initial, unless it is the word in `So do I.`
        return last == "i"
    # `etc.` and `U.S.` may end a sentence.
    return not (following.islower() and ("." in last or last == "etc"))


def _piece_ends(text: str, span: tuple[int, int], cue_starts: Sequence[int]) -> list[int]:
    """Return where the pieces of a sentence end; one that is not too long is a single piece.

    It is cut between cues if possible, else at punctuation, else between words, else between the
    letters of an unspaced script, else anywhere.
    """

    def between_cues(start: int, end: int) -> Sequence[int]:
        return cue_starts[bisect_right(cue_starts, start) : bisect_left(cue_starts, end)]

    def after(pattern: re.Pattern[str], start: int, end: int) -> list[int]:
        return [match.end() for match in pattern.finditer(text, start, end)]

    pieces = [span]
    for find_cuts in (
        between_cues,
        partial(after, _CLAUSE_END),
        partial(after, _SPACE),
        partial(after, _UNSPACED_LETTER),
    ):
        pieces = [piece for span in pieces for piece in _cut(text, span, find_cuts)]
    return [end for span in pieces for end in _bounded_ends(text, span)]


def _bounded_ends(text: str, span: tuple[int, int]) -> Iterator[int]:
    start, end = span
    while end - start > MAX_SENTENCE:
        # After a space if there is one.
        start = text.rfind(" ", start + 1, start + MAX_SENTENCE) + 1 or start + MAX_SENTENCE
        yield start
    yield end


def _cut(
    text: str, span: tuple[int, int], find_cuts: Callable[[int, int], Sequence[int]]
) -> list[tuple[int, int]]:
    start, end = span
    if count_words(text[start:end]) <= MAX_SENTENCE_WORDS:
        return [span]
    cuts = [start]
    words = 0
    possible = (cut for cut in find_cuts(start, end) if start < cut < end)
    for cut, following in pairwise([start, *possible, end]):
        step = count_words(text[cut:following])
        if words and words + step > MAX_PIECE_WORDS:
            cuts.append(cut)
            words = 0
        words += step
    return list(pairwise([*cuts, end]))


def _time_at(cue: Cue, span: tuple[int, int], position: int) -> float | None:
    """Interpolate when the character at a position is spoken, within its cue."""
    if cue.start is None or cue.end is None:
        return None
    start, end = span
    return round(cue.start + (cue.end - cue.start) * (position - start) / (end - start or 1), 1)
