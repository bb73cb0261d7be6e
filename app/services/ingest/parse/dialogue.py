"""Paragraphs of a page or of a written transcript come in; cues go out.

A transcript tells its times in many ways: `Name: 00:01:23` on a line of its own, `**Name:** [1:23]`
before the words, `[01:23]` in the middle of them, or not at all.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise

from app.services.ingest.parse.cues import CLOCK, Cue, seconds
from app.services.ingest.parse.markdown import Block
from app.services.ingest.parse.speech import Names
from app.services.search.text import fold

# `Name: 00:01:23`, `Name – 0:01:23:`, `Name (1:23)`, `00:01:23 words`: a line that opens a turn.
_TURN = re.compile(
    r"^(?:(?=[^:]*[^\W\d_])(?P<name>\[?[^\W_][\w.,'’&/# -]{0,60}?\]?)"
    r"(?P<between>\s*[:–—-]+\s*(?:0:\s)?|\s+|(?=[\[(])))?"
    rf"(?P<bracket>[\[(]?)(?P<time>{CLOCK})[\])]?"
    r"(?P<colon>\s*:(?=\s|$))?(?P<rest>.*)$"
)
_LONGEST_NAME = 6
_BRACKETED = re.compile(rf"\[({CLOCK})\]")
# What no list of ratios, opening hours or lap times has: `[1:23]` apart from a word, `1:02:03`.
_STAMP = re.compile(r"(?<!\w)\[(?:\d{1,3}[:.])?\d{1,3}:\d\d(?:[.,;:]\d{1,3})?\]")
_EXACT = re.compile(r"(?:\d{1,3}:\d\d|\d\d\.\d\d):\d\d(?!\d)")
# How many times beside a name, told to the second but not to the hour, make a transcript.
_ENOUGH = 3
_NO_SPEAKER = frozenset({"ad break", "break", "intermission"})
# `[unintelligible 00:44:13.15]` tells nobody anything by its time.
_UNCLEAR = re.compile(rf"(\[[^\[\]]*?)\s+{CLOCK}\]")
_BREAK = re.compile(rf"(?:to\s)?(?:\s*\[{CLOCK}\]\s*(?:to\b|[-–—])?)+\s*")


def page(blocks: Sequence[Block]) -> list[Cue]:
    """Turn a page's blocks into cues without times."""
    cues = []
    for block in blocks:
        text = " ".join(block.lines)
        if block.lead:
            text = f"{block.lead}: {text.lstrip(': ')}"
        if text:
            cues.append(Cue(text, heading=block.heading, closes=True))
    return cues


def has_times(blocks: Sequence[Block], speakers: Sequence[str] = ()) -> bool:
    """Tell whether blocks are a transcript's: two or more of their lines surely tell a time.

    `Name: 1:23` may be a ratio or an opening hour: it takes several of them, times that rise, and
    a name that comes back or is one of the `speakers`.
    """
    lines = [line for block in blocks if block.kind == "prose" for line in _with_lead(block)]
    sure = within = 0
    named: list[tuple[str, float]] = []
    for line, following in pairwise([*lines, ""]):
        turn = _turn(line)
        if _STAMP.match(line) or (turn and turn[0] and _STAMP.search(line)):
            sure += 1
        elif _STAMP.search(line):
            # Within a sentence it may be a page's "see [1:30]", unless others stand at beginnings.
            within += 1
        elif turn is None or not (turn[2] or _turn(following) is None):
            # A list of times is no transcript: nothing is said between them.
            continue
        elif _EXACT.search(line) or not (turn[0] or turn[2]):
            sure += 1
        elif turn[0]:
            named.append((fold(turn[0]), turn[1]))
    return sure > 1 or (sure == 1 and within > 0) or _are_turns(named, speakers)


def _are_turns(named: Sequence[tuple[str, float]], speakers: Sequence[str]) -> bool:
    names, times = Counter(name for name, _ in named), [time for _, time in named]
    if len(times) < _ENOUGH or times != sorted(times) or times[0] == times[-1]:
        return False
    known = {fold(part) for full in speakers for part in (full, *full.split()[:1])}
    return max(names.values()) > 1 or not known.isdisjoint(names)


def turns(blocks: Sequence[Block], speakers: Sequence[str] = ()) -> list[Cue]:
    """Turn a transcript's blocks into cues; only the times that are written are filled in."""
    names = Names(
        speakers, (_BRACKETED.sub("", line).strip() for one in blocks for line in one.lines[:1])
    )
    # Bold words now and then are terms of a list; all through a talk they are its speakers.
    led = sum(block.lead is not None for block in blocks) * 4 > len(blocks)
    cues: list[Cue] = []
    speaker: str | None = None
    for block in blocks:
        for cue in _block_cues(block, names, speaker, led=led):
            speaker = cue.speaker
            cues.append(cue)
    return cues


def _with_lead(block: Block) -> list[str]:
    if block.lead is None:
        return list(block.lines)
    return [f"{block.lead}: {' '.join(block.lines[:1]).lstrip(': ')}", *block.lines[1:]]


def _without_lead(block: Block) -> list[str]:
    return [line.lstrip(": ") if block.lead else line for line in block.lines[:1]] + [
        *block.lines[1:]
    ]


def _block_cues(block: Block, names: Names, speaker: str | None, *, led: bool) -> Iterator[Cue]:
    lines = _without_lead(block)
    if block.kind == "code":
        yield Cue(lines[0], speaker=speaker, heading=block.heading, closes=True)
        return
    named = block.lead is not None and names.is_name(block.lead, told=led)
    if block.lead is not None and named:
        speaker = names.canonical(block.lead)
    elif block.lead is not None:
        lines[:1] = [f"{block.lead}: {lines[0] if lines else ''}".rstrip(": ")]
    start: float | None = None
    said: list[str] = []
    for line in lines:
        turn = _turn(line)
        if turn is not None and not (named and turn[0]):
            yield from _paragraph(said, start, speaker, block.heading)
            name, start, line = turn
            if name and fold(name) not in _NO_SPEAKER:
                speaker = names.canonical(name)
            said = []
        if not (said or named):
            _, speaker, line = names.split(line, speaker)
        said.append(line)
    if not any(said) and start is None:
        # A name alone: the words follow in the next paragraph.
        yield Cue("", speaker=speaker, heading=block.heading)
    yield from _paragraph(said, start, speaker, block.heading)


def _turn(line: str) -> tuple[str, float, str] | None:
    """Read a line that opens a turn: the name or nothing, the time, the words behind it."""
    match = _TURN.match(line)
    time = seconds(match["time"]) if match else None
    # `4:1` is a ratio.
    if match is None or time is None or re.search(r"^\d+:\d$", match["time"]):
        return None
    name, rest = match["name"] or "", match["rest"]
    exact = len(re.split("[:.]", match["time"])) > 2
    if not name:
        opens = not rest or rest[0].isspace()
    else:
        parted = bool(match["colon"] or match["between"].strip() or match["bracket"])
        told = parted or exact or len(match["between"]) > 1
        colon = bool(match["colon"]) or ":" in match["between"]
        opens = told and (not rest.strip() or colon)
    if not opens or len(name.split()) > _LONGEST_NAME:
        return None
    return name.strip("[] "), time, rest.strip()


def _paragraph(
    lines: Sequence[str], start: float | None, speaker: str | None, heading: str
) -> Iterator[Cue]:
    """Cut a paragraph at the times that stand in it; its end is the end of a sentence."""
    text = _UNCLEAR.sub(r"\1]", " ".join(lines))
    # A break: speech ends at its first time and goes on at its last.
    said = [
        "" if _BREAK.fullmatch(text) else piece.strip() for piece in _BRACKETED.split(text)[::2]
    ]
    told = [start, *(seconds(clock) for clock in _BRACKETED.findall(text))]
    last = max((place for place, piece in enumerate(said) if piece), default=-1)
    for place, (piece, time) in enumerate(zip(said, told, strict=True)):
        if piece or time is not None:
            yield Cue(piece, time, None, speaker, heading, closes=place == last)
