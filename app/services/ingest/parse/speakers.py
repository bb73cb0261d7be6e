"""Recognize speakers' names in front of their words.

`Name:` at the start of a line is a speaker only if the name is known, follows `>>` or recurs;
otherwise it stays part of the text.
"""

import re
from collections import Counter
from collections.abc import Iterable

from app.services.search.text import STOP_WORDS, fold

# How often an unknown label must occur to count as a name.
_MIN_OCCURRENCES = 3

_CHEVRONS = re.compile(r"^>>+\s*")
_LABEL = re.compile(
    r"^(?:-\s+)?(?P<name>\[?[^\W_][\w.'’#-]*(?: [\w.'’#-]+){0,3}\]?)\s?:(?=\s|$)\s*"
)
_ROLE = re.compile(
    r"announcer|audience|female|guest|host|interviewer|male|man|moderator|narrator|presenter"
    r"|speaker|woman"
)
_NOT_A_NAME = re.compile(
    r"an?|answer|break|date|disclaimer|example|ex|fact|hint|https?|important|link|location|media|note"
    r"|ps|q|question|reference|remember|reminder|result|slides|source|spoiler|step|summary|title"
    r"|tip|todo|transcript|update|url|video|warning"
)


class SpeakerNames:
    """The speakers of one document, from its metadata (`speakers`) and its lines."""

    def __init__(self, speakers: Iterable[str], lines: Iterable[str] = ()) -> None:
        self._known: dict[str, str] = {}
        for full in speakers:
            for part in {full, full.split()[0], full.split()[-1]} if full.split() else ():
                # A first name that two speakers share is not expanded.
                key = fold(part)
                self._known[key] = part if key in self._known else full
        labels = (_LABEL.match(_CHEVRONS.sub("", line)) for line in lines)
        counts = Counter(label["name"] for label in labels if label)
        self._recurring = {name for name, count in counts.items() if count >= _MIN_OCCURRENCES}

    def split(self, line: str, speaker: str | None) -> tuple[bool, str | None, str]:
        """Split a line into whether the speaker changes, who speaks, and the words.

        `speaker` is the previous speaker. The new one is None if the line does not name anyone.
        """
        chevrons = _CHEVRONS.match(line)
        rest = line[chevrons.end() :] if chevrons else line
        label = _LABEL.match(rest)
        if label and self.is_name(label["name"], marked=chevrons is not None):
            return True, self.canonical(label["name"]), rest[label.end() :]
        if chevrons:
            return True, None, rest
        return False, speaker, line

    def canonical(self, name: str) -> str:
        """Return the full form of a known name; other names only lose their brackets."""
        bare = name.strip("[]*_ ")
        return self._known.get(fold(bare), bare)

    def is_name(self, name: str, *, marked: bool) -> bool:
        """Return whether a label names a speaker; `>>` or bold type makes it `marked`."""
        bare = fold(name.strip("[]"))
        words = bare.split()
        if not words or _NOT_A_NAME.fullmatch(bare) or words[0] in STOP_WORDS:
            return False
        if bare in self._known or _ROLE.fullmatch(words[0]):
            return True
        return name.strip("[")[0].isupper() and (marked or name in self._recurring)
