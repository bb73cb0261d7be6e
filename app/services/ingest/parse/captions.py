"""Parse WebVTT, SubRip, MicroDVD, RealText and similar files into timed captions.

SubRip, SubViewer, SBV, STC, and the text of Whisper and YouTube differ only in the line with the
time, so one parser reads them all. It tolerates missing blank lines, wrong numbers and wrong file
extensions.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from msgspec import Struct
from msgspec.structs import replace

from app.services.ingest.parse.cues import CLOCK, parse_clock

_START, _END = rf"(?P<start>{CLOCK})", rf"(?P<end>{CLOCK})"
# Lines with a start time, and in some formats an end, cue settings or the text itself.
_ARROW = re.compile(rf"^\s*\[?{_START}\s*-+>\s*{_END}\]?(?P<text>.*)$")
_TIME_LINES = (
    _ARROW,
    re.compile(rf"^\s*{_START}\s*,\s*{_END}\s*$"),
    re.compile(rf"^\W{{0,2}}(?:\*TC\s+|(?=\d\d:\d\d:\d\d;\d\d\s*$)){_START}(?P<text>.*)$"),
    re.compile(rf"^\s*\[?{_START}\]?\s*$"),
)
_CUE_SETTING = re.compile(r"(?:align|line|position|region|size|vertical):\S+|(?:[XY]\d:\d+)+")
_MICRODVD = re.compile(r"\s*\{\s*(\d{1,9})\s*\}\s*\{\s*(\d{1,9})\s*\}(.*)")
_MICRODVD_TAG = re.compile(r"\{[^{}]*\}")
_REALTEXT = re.compile(r"<time\b([^<>]*)>", re.IGNORECASE)
# The default for MicroDVD files that do not state their frame rate.
_FRAME_RATE = re.compile(r"[1-9]\d{0,3}(?:\.\d+)?")
_MICRODVD_FRAMES_PER_SECOND = 25.0
# Captions that roll up have at most so many lines on the screen.
MAX_ROLLING_LINES = 10
_INLINE_TIME = re.compile(rf"<{CLOCK}>")


class Caption(Struct, frozen=True):
    """The lines that are on the screen together, with their markup; times are in seconds."""

    start: float | None
    end: float | None
    lines: tuple[str, ...]


def parse_captions(text: str) -> list[Caption]:
    """Parse a caption file of any format; the list is empty if it is not one.

    The format is detected from the text. Lines that roll up the screen, as in YouTube's automatic
    captions, are returned once.
    """
    parsers: tuple[Callable[[str], list[Caption]], ...] = (
        _parse_webvtt,
        _parse_microdvd,
        _parse_realtext,
        _parse_time_lines,
    )
    captions = next((found for parse in parsers if (found := parse(text))), [])
    return _without_repeats(captions) if _are_rolling(captions) else captions


def _parse_webvtt(text: str) -> list[Caption]:
    if not text.lstrip().startswith("WEBVTT"):
        return []
    import webvtt

    try:
        found = webvtt.from_string(text).captions
    except webvtt.errors.MalformedFileError:
        return []
    # webvtt-py drops captions that are not valid; the tolerant parser below reads them.
    if len(found) < sum(1 for line in text.split("\n") if _ARROW.match(line)):
        return []
    return [
        Caption(parse_clock(one.start), parse_clock(one.end), tuple(one.raw_text.split("\n")))
        for one in found
    ]


def _parse_microdvd(text: str) -> list[Caption]:
    if not _MICRODVD.match(text):
        return []
    found = [match.groups() for line in text.split("\n") if (match := _MICRODVD.match(line))]
    rate = _MICRODVD_FRAMES_PER_SECOND
    # The first caption may state the frame rate, as in `{1}{1}23.976`.
    if found[0][:2] == ("1", "1") and _FRAME_RATE.fullmatch(found[0][2].strip()):
        rate = float(found.pop(0)[2])
    return [
        Caption(int(start) / rate, int(end) / rate, tuple(_MICRODVD_TAG.sub("", body).split("|")))
        for start, end, body in found
    ]


def _parse_realtext(text: str) -> list[Caption]:
    pieces = _REALTEXT.split(text)
    captions = []
    for attributes, body in zip(pieces[1::2], pieces[2::2], strict=True):
        start, end = (_realtext_time(attributes, name) for name in ("begin", "end"))
        lines = re.sub(r"<br\s*/?>", "\n", body, flags=re.IGNORECASE).split("\n")
        captions.append(Caption(start, end, tuple(lines)))
    return captions


def _realtext_time(attributes: str, name: str) -> float | None:
    """Return a time that is written as a clock or as plain seconds."""
    match = re.search(
        rf"\b{name}\s*=\s*[\"']?({CLOCK}|\d{{1,9}}(?:\.\d+)?)", attributes, re.IGNORECASE
    )
    if match is None:
        return None
    return parse_clock(match[1]) if ":" in match[1] else float(match[1])


def _parse_time_lines(text: str) -> list[Caption]:
    lines = text.split("\n")
    filled = sum(1 for line in lines if line.strip())
    for time_line in _TIME_LINES:
        times = sum(1 for line in lines if time_line.match(line))
        # A page may have such a line too, but in a caption file there is one every few lines.
        if times and 8 * times >= filled:
            return list(_split_at_times(lines, time_line))
    return []


def _split_at_times(lines: Sequence[str], time_line: re.Pattern[str]) -> Iterator[Caption]:
    numbered = False
    start, end, spoken = None, None, list[str]()
    for line in lines:
        match = time_line.match(line)
        time = parse_clock(match["start"]) if match else None
        if match is None or time is None:
            spoken += [line] if line.strip() else []
            continue
        has_number = bool(spoken) and spoken[-1].strip().isdecimal()
        if start is None:
            # Before the first time there is a header, or the first caption's number.
            numbered = has_number
        else:
            yield Caption(start, end, tuple(spoken[:-1] if numbered and has_number else spoken))
        groups = match.groupdict()
        start, end = time, parse_clock(groups.get("end") or "")
        text = groups.get("text") or ""
        spoken = [] if all(map(_CUE_SETTING.fullmatch, text.split())) else [text]
    if start is not None:
        yield Caption(start, end, tuple(spoken))


def _are_rolling(captions: Sequence[Caption]) -> bool:
    """Return whether captions repeat the lines of those before them."""
    if any(_INLINE_TIME.search(line) for one in captions for line in one.lines):
        return True
    repeats = sum(
        1 for one, after in pairwise(captions) if _count_repeated(_bare(one), _bare(after))
    )
    return len(captions) > 5 and repeats * 3 > len(captions)


def _without_repeats(captions: Sequence[Caption]) -> list[Caption]:
    kept: list[Caption] = []
    shown: tuple[str, ...] = ()
    for caption in captions:
        lines = _bare(caption)
        if new := lines[_count_repeated(shown, lines) :]:
            kept.append(replace(caption, lines=new))
        shown = lines
    return kept


def _bare(caption: Caption) -> tuple[str, ...]:
    """Return a caption's lines without inline times, class tags and empty lines."""
    lines = (
        re.sub(r"</?c[^<>]*>", "", _INLINE_TIME.sub("", line)).strip() for line in caption.lines
    )
    return tuple(line for line in lines if line)


def _count_repeated(shown: tuple[str, ...], lines: tuple[str, ...]) -> int:
    """Count the leading lines that repeat the last lines shown before."""
    longest = min(len(shown), len(lines), MAX_ROLLING_LINES)
    return next((n for n in range(longest, 0, -1) if shown[-n:] == lines[:n]), 0)
