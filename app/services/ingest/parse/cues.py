"""Cues (pieces of speech with their times), and the interpolation of missing times."""

import re
from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise

from msgspec import Struct
from msgspec.structs import replace

from app.services.ingest.parse.words import count_words

# The usual pace of speech, assumed where times are missing.
WORDS_PER_SECOND = 150 / 60

# hours:minutes:seconds or minutes:seconds, optionally with a fraction or a frame number.
CLOCK = r"(?:\d{1,3}[:.])?\d{1,3}:\d{1,2}(?:[.,]\d{1,3}|[;:]\d{1,2})?"
_CLOCK_PARTS = re.compile(
    r"(?:(?P<hours>\d{1,3})[:.])?(?P<minutes>\d{1,3}):(?P<seconds>\d{1,2})"
    r"(?:[.,](?P<fraction>\d{1,3})|[;:](?P<frame>\d{1,2}))?"
)
_FRAMES_PER_SECOND = 30


class Cue(Struct, frozen=True):
    """A piece of speech or of a page; `start` and `end` are in seconds, None if unknown.

    `closes` marks the end of a paragraph: no sentence continues past it. A cue without text only
    marks a time.
    """

    text: str
    start: float | None = None
    end: float | None = None
    speaker: str | None = None
    heading: str = ""
    closes: bool = False


def parse_clock(clock: str) -> float | None:
    """Return the seconds of `01:02:03.5`, `2:03` or `00:00:02;24`; None if it is not a time."""
    match = _CLOCK_PARTS.fullmatch(clock.strip())
    if match is None:
        return None
    hours, minutes, seconds = (int(match[name] or 0) for name in ("hours", "minutes", "seconds"))
    if seconds > 59 or (match["hours"] and minutes > 59):
        return None
    fraction = float(f"0.{match['fraction'] or 0}") + int(match["frame"] or 0) / _FRAMES_PER_SECOND
    return hours * 3600 + minutes * 60 + seconds + fraction


def fill_times(cues: Sequence[Cue]) -> list[Cue]:
    """Give every cue a start and an end, and drop cues without text.

    Missing times are interpolated by word count. Times that are out of order are ignored. If no
    cue has a start, all times are None.
    """
    anchors = _longest_ascending([cue.start for cue in cues])
    if not anchors:
        return [replace(cue, start=None, end=None) for cue in cues if cue.text]
    filled: list[Cue] = []
    if anchors[0]:
        filled += _interpolate(cues[: anchors[0]], 0.0, cues[anchors[0]].start)
    for first, following in pairwise([*anchors, len(cues)]):
        start = cues[first].start or 0.0
        limit = cues[following].start if following < len(cues) else None
        filled += _interpolate(cues[first:following], start, limit)
    return [cue for cue in filled if cue.text]


def _interpolate(cues: Sequence[Cue], start: float, limit: float | None) -> list[Cue]:
    """Divide the time from `start` by words, until the last cue's own end or else `limit`."""
    words = [count_words(cue.text) for cue in cues]
    total = sum(words)
    end = cues[-1].end
    if end is None or end < start or (limit is not None and end > limit):
        end = start + total / WORDS_PER_SECOND if limit is None else limit
    filled, spoken = [], 0
    for cue, count in zip(cues, words, strict=True):
        cue_start = start + (end - start) * spoken / (total or 1)
        spoken += count
        cue_end = start + (end - start) * spoken / (total or 1)
        filled.append(replace(cue, start=cue_start, end=cue_end))
    return filled


def _longest_ascending(starts: Sequence[float | None]) -> list[int]:
    """Return the indices of the longest subsequence of times that never decreases."""
    lasts: list[float] = []  # lasts[n]: the smallest last time of a subsequence of n + 1 times
    indices: list[int] = []  # the index of each of them
    previous: dict[int, int | None] = {}
    for index, start in enumerate(starts):
        if start is None:
            continue
        length = bisect_right(lasts, start)
        previous[index] = indices[length - 1] if length else None
        lasts[length : length + 1] = [start]
        indices[length : length + 1] = [index]
    longest: list[int] = []
    step = indices[-1] if indices else None
    while step is not None:
        longest.append(step)
        step = previous[step]
    return longest[::-1]
