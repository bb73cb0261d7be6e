"""Captions come in; what was said goes out as cues, without markup and with speakers' names.

`Name:` at the start of a line is a speaker only where that is safe to say: the name is known, or
follows `>>`, or comes back; else it stays a part of the text.
"""

import html
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from app.services.ingest.parse.captions import Caption
from app.services.ingest.parse.cues import Cue
from app.services.search.text import STOP_WORDS, fold

# How often an unknown label must stand before a line to be a name.
_OFTEN = 3

_TAG = re.compile(
    r"</?(?:[biusc]|em|strong|font|span|lang|ruby|rt|center|window|v)(?:[.\s][^<>]*)?/?>"
    r"|<\d[\d:.]*>|\{\\[^}]*\}",
    re.IGNORECASE,
)
_BREAK = re.compile(r"<br\s*/?>|\[br\]", re.IGNORECASE)
_VOICE = re.compile(r"<v(?:\.[^\s<>]+)?\s+([^<>]+)>", re.IGNORECASE)
_TURN = re.compile(r"^>>+\s*")
_LABEL = re.compile(
    r"^(?:-\s+)?(?P<name>\[?[^\W_][\w.'’#-]*(?: [\w.'’#-]+){0,3}\]?)\s?:(?=\s|$)\s*"
)
_ROLE = re.compile(
    r"announcer|audience|female|guest|host|interviewer|male|man|moderator|narrator|presenter"
    r"|speaker|woman"
)
_NO_NAME = re.compile(
    r"an?|answer|break|date|disclaimer|example|ex|fact|hint|https?|important|link|location|media|note"
    r"|ps|q|question|reference|remember|reminder|result|slides|source|spoiler|step|summary|title"
    r"|tip|todo|transcript|update|url|video|warning"
)


def speech(captions: Sequence[Caption], speakers: Sequence[str] = ()) -> list[Cue]:
    """Turn captions into cues, one for each part that one person says.

    `speakers` are the names that are known to be in the video.
    """
    shown = [(one, list(_parts(one))) for one in captions]
    names = Names(speakers, (line for _, parts in shown for _, lines in parts for line in lines))
    voiced = any(voice for _, parts in shown for voice, _ in parts)
    cues: list[Cue] = []
    speaker: str | None = None
    for one, parts in shown:
        said: list[Cue] = []
        for voice, lines in parts:
            # Voice tags name each caption's speaker; a label holds until the next one.
            speaker = voice if voiced else speaker
            for line in lines:
                turned, speaker, text = names.split(line, speaker)
                if said and not turned and said[-1].speaker == speaker:
                    said[-1] = Cue(f"{said[-1].text} {text}".strip(), speaker=speaker)
                else:
                    said.append(Cue(text, speaker=speaker))
        cues += _timed(said, one)
    return cues


class Names:
    """The speakers' names of one document, as its lines and its description give them."""

    def __init__(self, speakers: Iterable[str], lines: Iterable[str] = ()) -> None:
        self._known: dict[str, str] = {}
        for full in speakers:
            for part in {full, full.split()[0], full.split()[-1]} if full.split() else ():
                # A first name that two of them share tells neither.
                key = fold(part)
                self._known[key] = part if key in self._known else full
        labels = (_LABEL.match(_TURN.sub("", line)) for line in lines)
        counts = Counter(label["name"] for label in labels if label)
        self._often = {name for name, count in counts.items() if count >= _OFTEN}

    def split(self, line: str, speaker: str | None) -> tuple[bool, str | None, str]:
        """Take a speaker's name off a line: whether a turn begins, who speaks, the words."""
        turn = _TURN.match(line)
        rest = line[turn.end() :] if turn else line
        label = _LABEL.match(rest)
        if label and self.is_name(label["name"], told=turn is not None):
            return True, self.canonical(label["name"]), rest[label.end() :]
        if turn:
            # Another speaks, but who is not told.
            return True, None, rest
        return False, speaker, line

    def canonical(self, name: str) -> str:
        """Give a name its full form where it is known."""
        bare = name.strip("[]*_ ")
        return self._known.get(fold(bare), bare)

    def is_name(self, name: str, *, told: bool) -> bool:
        """Tell whether a label is a speaker; `told` says that a mark beside it does say so."""
        bare = fold(name.strip("[]"))
        words = bare.split()
        if not words or _NO_NAME.fullmatch(bare) or words[0] in STOP_WORDS:
            return False
        if bare in self._known or _ROLE.fullmatch(words[0]):
            return True
        return name.strip("[")[0].isupper() and (told or name in self._often)


def _parts(one: Caption) -> Iterator[tuple[str | None, list[str]]]:
    """Split a caption at its voice tags: who, where that is told, and the clean lines."""
    pieces = _VOICE.split("\n".join(one.lines))
    for voice, body in zip([None, *pieces[1::2]], pieces[::2], strict=True):
        lines = [
            " ".join(html.unescape(_TAG.sub("", line)).split())
            for line in _BREAK.sub("\n", body).split("\n")
        ]
        kept = [line for line in lines if line]
        if kept or voice:
            yield voice and " ".join(html.unescape(voice).split()), kept


def _timed(said: Sequence[Cue], one: Caption) -> list[Cue]:
    """Only the first part knows when it starts, only the last when it ends."""
    last = len(said) - 1
    return [
        Cue(
            cue.text,
            start=one.start if place == 0 else None,
            end=one.end if place == last else None,
            speaker=cue.speaker,
        )
        for place, cue in enumerate(said)
    ]
