"""Turn the blocks of a written transcript into cues.

Transcripts give times in many ways: `Name: 00:01:23` on a line of its own, `**Name:** [1:23]`
before the words, `[01:23]` in the middle of them, or not at all.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise

from msgspec import Struct

from app.services.ingest.parse.cues import CLOCK, Cue, parse_clock
from app.services.ingest.parse.markdown import Block
from app.services.ingest.parse.speakers import SpeakerNames
from app.services.search.text import fold

# A line that starts an utterance: `Name: 00:01:23`, `Name – 0:01:23:`, `Name (1:23)`, `00:01:23 …`.
_UTTERANCE = re.compile(
    r"^(?:(?=[^:]*[^\W\d_])(?P<name>\[?[^\W_][\w.,'’&/# -]{0,60}?\]?)"
    r"(?P<between>\s*[:–—-]{1,20}\s*(?:0:\s)?|\s+|(?=[\[(])))?"
    rf"(?P<bracket>[\[(]?)(?P<time>{CLOCK})[\])]?"
    r"(?P<colon>\s*:(?=\s|$))?(?P<rest>.*)$"
)
_MAX_NAME_WORDS = 6
_RATIO = re.compile(r"\d+:\d")
_BRACKETED = re.compile(rf"\[({CLOCK})\]")
# Times that cannot be ratios, opening hours or lap times: `[1:23]` that does not follow a word
# directly, and `1:02:03`.
_STAMP = re.compile(r"(?<!\w)\[(?:\d{1,3}[:.])?\d{1,3}:\d\d(?:[.,;:]\d{1,3})?\]")
_EXACT = re.compile(r"(?:\d{1,3}:\d\d|\d\d\.\d\d):\d\d(?!\d)")
# The number of utterances with a name and only minutes and seconds that make a transcript.
_MIN_NAMED = 3
_NOT_A_SPEAKER = frozenset({"ad break", "break", "intermission"})
# The time in `[unintelligible 00:44:13.15]` is not the time of the words next to it.
_UNCLEAR = re.compile(rf"(\[[^\[\]]{{1,80}}?)\s{{1,10}}{CLOCK}\]")
_BREAK = re.compile(rf"(?:to\s)?\s*+(?:\[{CLOCK}\]\s*+(?:(?:to\b|[-–—])\s*+)?)+")


class _Utterance(Struct, frozen=True):
    """A line that starts an utterance: a name or "", the seconds, and the words after them."""

    name: str
    time: float
    rest: str


def is_transcript(blocks: Sequence[Block], speakers: Sequence[str] = ()) -> bool:
    """Return whether at least two lines have an unambiguous time of speech.

    `Name: 1:23` may also be a ratio or an opening hour. Such lines count only if there are several,
    their times ascend, and a name recurs or is one of the `speakers`.
    """
    lines = [line for block in blocks if block.kind == "prose" for line in _with_lead(block)]
    certain = inside_sentences = 0
    named: list[_Utterance] = []
    for line, following in pairwise([*lines, ""]):
        utterance = _parse_utterance(line)
        if _STAMP.match(line) or (utterance and utterance.name and _STAMP.search(line)):
            certain += 1
        elif _STAMP.search(line):
            # This may be a page's "see [1:30]", unless other lines begin with a time.
            inside_sentences += 1
        elif utterance is None or not (utterance.rest or _parse_utterance(following) is None):
            # A list of times is not a transcript: there are no words between them.
            continue
        elif _EXACT.search(line) or not (utterance.name or utterance.rest):
            certain += 1
        elif utterance.name:
            named.append(utterance)
    return certain > 1 or (certain == 1 and inside_sentences > 0) or _are_speakers(named, speakers)


def _are_speakers(utterances: Sequence[_Utterance], speakers: Sequence[str]) -> bool:
    times = [utterance.time for utterance in utterances]
    if len(times) < _MIN_NAMED or times != sorted(times) or times[0] == times[-1]:
        return False
    names = Counter(fold(utterance.name) for utterance in utterances)
    known = {fold(part) for full in speakers for part in (full, *full.split()[:1])}
    return max(names.values()) > 1 or not known.isdisjoint(names)


def transcript_cues(blocks: Sequence[Block], speakers: Sequence[str] = ()) -> list[Cue]:
    """Turn a transcript's blocks into cues with the times that are written in it."""
    first_lines = (line for block in blocks for line in block.lines[:1])
    names = SpeakerNames(speakers, (_BRACKETED.sub("", line).strip() for line in first_lines))
    # Bold words at the start of a few blocks are terms; at the start of many they are speakers.
    leads_are_speakers = sum(block.lead is not None for block in blocks) * 4 > len(blocks)
    cues: list[Cue] = []
    speaker: str | None = None
    for block in blocks:
        for cue in _block_cues(block, names, speaker, leads_are_speakers=leads_are_speakers):
            speaker = cue.speaker
            cues.append(cue)
    return cues


def _with_lead(block: Block) -> list[str]:
    if block.lead is None:
        return list(block.lines)
    return [f"{block.lead}: {' '.join(block.lines[:1]).lstrip(': ')}", *block.lines[1:]]


def _without_lead(block: Block) -> list[str]:
    lines = list(block.lines)
    if block.lead and lines:
        lines[0] = lines[0].lstrip(": ")
    return lines


def _block_cues(
    block: Block, names: SpeakerNames, speaker: str | None, *, leads_are_speakers: bool
) -> Iterator[Cue]:
    lines = _without_lead(block)
    if block.kind == "code":
        yield Cue(lines[0], speaker=speaker, heading=block.heading, closes=True)
        return
    named = block.lead is not None and names.is_name(block.lead, marked=leads_are_speakers)
    if block.lead is not None and named:
        speaker = names.canonical(block.lead)
    elif block.lead is not None:
        lines[:1] = [f"{block.lead}: {lines[0] if lines else ''}".rstrip(": ")]
    start: float | None = None
    spoken: list[str] = []
    for line in lines:
        utterance = _parse_utterance(line)
        if utterance is not None and not (named and utterance.name):
            yield from _paragraph_cues(spoken, start, speaker, block.heading)
            start, line = utterance.time, utterance.rest
            if utterance.name and fold(utterance.name) not in _NOT_A_SPEAKER:
                speaker = names.canonical(utterance.name)
            spoken = []
        if not (spoken or named):
            _, speaker, line = names.split(line, speaker)
        spoken.append(line)
    if not any(spoken) and start is None:
        # A name on its own: the words follow in the next paragraph.
        yield Cue("", speaker=speaker, heading=block.heading)
    yield from _paragraph_cues(spoken, start, speaker, block.heading)


def _parse_utterance(line: str) -> _Utterance | None:
    match = _UTTERANCE.match(line)
    time = parse_clock(match["time"]) if match else None
    if match is None or time is None or _RATIO.fullmatch(match["time"]):
        return None
    name, rest = match["name"] or "", match["rest"]
    if name:
        has_hours = len(re.split("[:.]", match["time"])) > 2
        separated = bool(match["colon"] or match["between"].strip() or match["bracket"])
        has_colon = bool(match["colon"]) or ":" in match["between"]
        opens = (separated or has_hours or len(match["between"]) > 1) and (
            has_colon or not rest.strip()
        )
    else:
        opens = not rest or rest[0].isspace()
    if not opens or len(name.split()) > _MAX_NAME_WORDS:
        return None
    return _Utterance(name.strip("[] "), time, rest.strip())


def _paragraph_cues(
    lines: Sequence[str], start: float | None, speaker: str | None, heading: str
) -> Iterator[Cue]:
    """Split a paragraph at its bracketed times; the last cue closes it."""
    text = _UNCLEAR.sub(r"\1]", " ".join(lines))
    # A break has only times: speech stops at the first and continues at the last.
    is_break = _BREAK.fullmatch(text) is not None
    spoken = ["" if is_break else piece.strip() for piece in _BRACKETED.split(text)[::2]]
    times = [start, *(parse_clock(clock) for clock in _BRACKETED.findall(text))]
    last = max((n for n, piece in enumerate(spoken) if piece), default=-1)
    for n, (piece, time) in enumerate(zip(spoken, times, strict=True)):
        if piece or time is not None:
            yield Cue(piece, time, None, speaker, heading, closes=n == last)
