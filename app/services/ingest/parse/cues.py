"""Pieces of speech with the times that are known come in; pieces with all their times go out."""

import re
from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise

from msgspec import Struct
from msgspec.structs import replace

# How fast people speak, where nothing tells.
WORDS_A_SECOND = 150 / 60

# hours:minutes:seconds or minutes:seconds, with a fraction or a frame behind it.
CLOCK = r"(?:\d{1,3}[:.])?\d{1,3}:\d{1,2}(?:[.,]\d{1,3}|[;:]\d{1,2})?"
_PARTS = re.compile(
    r"(?:(?P<hours>\d{1,3})[:.])?(?P<minutes>\d{1,3}):(?P<seconds>\d{1,2})"
    r"(?:[.,](?P<fraction>\d{1,3})|[;:](?P<frame>\d{1,2}))?"
)
_FRAMES_A_SECOND = 30

# Scripts that put no spaces between words: Thai, Lao, Khmer, kana, Han; two letters are a word.
UNSPACED = r"\u0e00-\u0eff\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_UNSPACED = re.compile(f"[{UNSPACED}]")
_WORD = re.compile(r"\w+")


class Cue(Struct, frozen=True):
    """A piece of speech or of a page; `start` and `end` in seconds where they are known.

    `closes` says that a sentence never goes on past it, as past the end of a paragraph. A cue
    without text only tells a time.
    """

    text: str
    start: float | None = None
    end: float | None = None
    speaker: str | None = None
    heading: str = ""
    closes: bool = False


def seconds(clock: str) -> float | None:
    """Read a time such as `01:02:03.5`, `2:03` or `00:00:02;24` in seconds; None if it is none."""
    match = _PARTS.fullmatch(clock.strip())
    if match is None:
        return None
    hours, minutes, rest = (int(match[name] or 0) for name in ("hours", "minutes", "seconds"))
    if rest > 59 or (match["hours"] and minutes > 59):
        return None
    part = float(f"0.{match['fraction'] or 0}") + int(match["frame"] or 0) / _FRAMES_A_SECOND
    return hours * 3600 + minutes * 60 + rest + part


def count_words(text: str) -> int:
    """Count the words; in scripts without spaces two letters are one."""
    letters = len(_UNSPACED.findall(text))
    if not letters:
        return len(text.split())
    return (letters + 1) // 2 + len(_WORD.findall(_UNSPACED.sub(" ", text)))


def fill_times(cues: Sequence[Cue]) -> list[Cue]:
    """Give every cue a start and an end, spread by words between the times that are known.

    Times that run backwards against the rest are passed over. Without a single time all stay
    None. Cues without text are left out.
    """
    trusted = _ascending([cue.start for cue in cues])
    if not trusted:
        return [replace(cue, start=None, end=None) for cue in cues if cue.text]
    filled: list[Cue] = []
    if trusted[0]:
        filled += _spread(cues[: trusted[0]], 0.0, cues[trusted[0]].start)
    for here, following in pairwise([*trusted, len(cues)]):
        start = cues[here].start or 0.0
        limit = cues[following].start if following < len(cues) else None
        filled += _spread(cues[here:following], start, limit)
    return [cue for cue in filled if cue.text]


def _spread(run: Sequence[Cue], start: float, limit: float | None) -> list[Cue]:
    """Share the time from `start` among the cues; an end of the last cue's own comes first."""
    words = [count_words(cue.text) for cue in run]
    total = sum(words)
    stop = run[-1].end
    if stop is None or stop < start or (limit is not None and stop > limit):
        stop = start + total / WORDS_A_SECOND if limit is None else limit
    filled, spoken = [], 0
    for cue, count in zip(run, words, strict=True):
        begin = start + (stop - start) * spoken / (total or 1)
        spoken += count
        filled.append(replace(cue, start=begin, end=start + (stop - start) * spoken / (total or 1)))
    return filled


def _ascending(starts: Sequence[float | None]) -> list[int]:
    """Return the places of the longest run of times, gaps allowed, that never runs backwards."""
    lasts: list[float] = []  # lasts[n] is the least time that a run of n + 1 times can end with
    places: list[int] = []
    before: dict[int, int | None] = {}
    for place, start in enumerate(starts):
        if start is None:
            continue
        length = bisect_right(lasts, start)
        before[place] = places[length - 1] if length else None
        lasts[length : length + 1] = [start]
        places[length : length + 1] = [place]
    run: list[int] = []
    step = places[-1] if places else None
    while step is not None:
        run.append(step)
        step = before[step]
    return run[::-1]
