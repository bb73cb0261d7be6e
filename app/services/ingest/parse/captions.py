"""The text of a caption file comes in, of whatever format; its captions go out, in order.

SubRip, SubViewer, SBV, STC, Whisper's and YouTube's text differ only in the line that tells the
time, so one reader takes them all: it survives missing blank lines, odd numbers and wrong names.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from msgspec import Struct
from msgspec.structs import replace

from app.services.ingest.parse.cues import CLOCK, seconds

_START, _END = rf"(?P<start>{CLOCK})", rf"(?P<end>{CLOCK})"
# How each kind of file tells the time: a start, maybe an end, maybe words behind them.
_ARROW = re.compile(rf"^\s*\[?{_START}\s*-+>\s*{_END}\]?(?P<behind>.*)$")
_STAMPS = (
    _ARROW,
    re.compile(rf"^\s*{_START}\s*,\s*{_END}\s*$"),
    re.compile(rf"^\W{{0,2}}(?:\*TC\s+|(?=\d\d:\d\d:\d\d;\d\d\s*$)){_START}(?P<behind>.*)$"),
    re.compile(rf"^\s*\[?{_START}\]?\s*$"),
)
_SETTINGS = re.compile(
    r"(?:\s*(?:(?:align|line|position|region|size|vertical):\S+|[XY]\d:\d+))*\s*"
)
_MICRODVD = re.compile(r"^\s*\{\d+\}\{\d+\}", re.MULTILINE)
_REALTEXT = re.compile(r"<time\b([^>]*)>", re.IGNORECASE)
# MicroDVD counts frames; this is the rate where it tells none.
_FRAMES_A_SECOND = 25.0
_INLINE_TIME = re.compile(rf"<{CLOCK}>")


class Caption(Struct, frozen=True):
    """The lines that stand on the screen together, markup and all; times in seconds."""

    start: float | None
    end: float | None
    lines: tuple[str, ...]


def captions(text: str) -> list[Caption]:
    """Read a caption file, told apart by what stands in it; empty where it is none.

    What rolls up the screen, as YouTube's automatic captions do, is there once.
    """
    readers: tuple[Callable[[str], list[Caption]], ...] = (_webvtt, _microdvd, _realtext, _stamped)
    found = next((found for read in readers if (found := read(text))), [])
    return _unroll(found) if _rolls(found) else found


def _webvtt(text: str) -> list[Caption]:
    if not text.lstrip().startswith("WEBVTT"):
        return []
    import webvtt

    try:
        found = webvtt.from_string(text).captions
    except webvtt.errors.MalformedFileError:
        return []
    # A file that is not quite WebVTT loses captions there; the tolerant reader takes it.
    if len(found) < sum(1 for line in text.split("\n") if _ARROW.match(line)):
        return []
    return [
        Caption(seconds(one.start), seconds(one.end), tuple(one.raw_text.split("\n")))
        for one in found
    ]


def _microdvd(text: str) -> list[Caption]:
    if not _MICRODVD.match(text):
        return []
    import pysubs2

    try:
        found = pysubs2.SSAFile.from_string(text, format_="microdvd")
    except pysubs2.exceptions.UnknownFPSError:
        found = pysubs2.SSAFile.from_string(text, format_="microdvd", fps=_FRAMES_A_SECOND)
    return [
        Caption(line.start / 1000, line.end / 1000, tuple(line.plaintext.split("\n")))
        for line in found
    ]


def _realtext(text: str) -> list[Caption]:
    pieces = _REALTEXT.split(text)
    found = []
    for attributes, body in zip(pieces[1::2], pieces[2::2], strict=True):
        times = {
            name: re.search(rf"\b{name}\s*=\s*[\"']?({CLOCK}|[\d.]+)", attributes, re.IGNORECASE)
            for name in ("begin", "end")
        }
        start, end = (time and _moment(time[1]) for time in times.values())
        lines = re.sub(r"<br\s*/?>", "\n", body, flags=re.IGNORECASE).split("\n")
        found.append(Caption(start, end, tuple(lines)))
    return found


def _moment(clock: str) -> float | None:
    """RealText also writes plain seconds."""
    return seconds(clock) if ":" in clock else float(clock)


def _stamped(text: str) -> list[Caption]:
    lines = text.split("\n")
    for stamp in _STAMPS:
        stamps = [match for line in lines if (match := stamp.match(line))]
        # The same line in a page is no caption: most of a caption file's blocks have a time.
        if stamps and 8 * len(stamps) >= sum(1 for line in lines if line.strip()):
            return list(_blocks(lines, stamp))
    return []


def _blocks(lines: Sequence[str], stamp: re.Pattern[str]) -> Iterator[Caption]:
    numbered = False
    start, end, said = None, None, list[str]()
    for line in lines:
        match = stamp.match(line)
        time = seconds(match["start"]) if match else None
        if match is None or time is None:
            said += [line] if line.strip() else []
            continue
        has_number = bool(said) and said[-1].strip().isdecimal()
        if start is None:
            # What stands before the first time is a header, or the first caption's number.
            numbered = has_number
        else:
            yield Caption(start, end, tuple(said[:-1] if numbered and has_number else said))
        told = match.groupdict()
        start, end = time, seconds(told.get("end") or "")
        behind = told.get("behind") or ""
        said = [] if _SETTINGS.fullmatch(behind) else [behind]
    if start is not None:
        yield Caption(start, end, tuple(said))


def _rolls(found: Sequence[Caption]) -> bool:
    """Tell whether captions repeat the lines of those before them."""
    if any(_INLINE_TIME.search(line) for one in found for line in one.lines):
        return True
    repeats = sum(1 for one, after in pairwise(found) if _repeated(_bare(one), after))
    return len(found) > 5 and repeats * 3 > len(found)


def _unroll(found: Sequence[Caption]) -> list[Caption]:
    fresh: list[Caption] = []
    shown: tuple[str, ...] = ()
    for one in found:
        bare = _bare(one)
        kept = bare[_repeated(shown, one) :]
        shown = bare
        if kept:
            fresh.append(replace(one, lines=kept))
    return fresh


def _bare(one: Caption) -> tuple[str, ...]:
    lines = (re.sub(r"</?c[^>]*>", "", _INLINE_TIME.sub("", line)).strip() for line in one.lines)
    return tuple(line for line in lines if line)


def _repeated(shown: Sequence[str], one: Caption) -> int:
    """Count the first lines of a caption that stood last on the screen before it."""
    lines = _bare(one)
    longest = min(len(shown), len(lines))
    return next(
        (n for n in range(longest, 0, -1) if tuple(shown[-n:]) == tuple(lines[:n])),
        0,
    )
