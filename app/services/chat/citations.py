"""A model's text comes in, piece by piece; it goes out with only such marks as name a source. Pure.

A mark is `[1]`. Models write it in other ways too, which leave here as plain marks: `[1, 3]` and
`[1-3]` as `[1][2][3]`, `[[1]](https://…)` and `[1](https://…)` as `[1]`. A number that names no
source is dropped, with the spaces before it when nothing is left of the mark; so is a mark
that the end cuts in two. All other text in brackets passes unharmed. What comes out does not
depend on where the pieces were cut.
"""

import re

from app.schemas import Mark

_INNER = r"(?=[^\]\[]*\d)[\d\s,;–^-]{1,200}"
_LINK = r"\((?:[a-z][a-z0-9+.-]{0,15}:|#|/)[^\s()]{0,480}\)"
# A whole citation: numbers in one or two pairs of brackets, maybe with a link.
_WHOLE = re.compile(rf"\[(?:({_INNER})\]|\[({_INNER})\]\])(?:{_LINK})?")
# What may still become one, or a longer one, when more text comes; its limits are not below those
# of a whole one, or the places where the text is cut would show.
_BEGUN = re.compile(
    r"\[[\d\s,;–^-]{0,200}(?:\](?:\([^\s()]{0,505})?)?"
    r"|\[\[[\d\s,;–^-]{0,200}(?:\]|\]\](?:\([^\s()]{0,505})?)?"
)
# One that the end of the text has cut: `[12`.
_CUT = re.compile(r"\[{1,2}\s?\^?\d[\d\s,;–-]*")
_BROKEN = re.compile(r"\[[\s,;–^-]*\d[\d\s,;–^-]*\[")
_OPEN = re.compile(r"(\[)?[\d\s,;–^-]*$")
_RANGE = re.compile(r"(\d+)(?:\s*[–-]\s*(\d+))?")
# More spaces than this before a mark are meant to be there.
_MOST_SPACES = 4
_MARK = re.compile(r"\s?\[\d+\]")


class CitationFilter:
    """Passes text through, holding back what may be a citation until it is known to be one.

    `sources` is how many sources there are: the marks `[1]` to `[sources]` are let through.
    `marks` lists those that went out, in order, with their places in all the text so far.
    """

    def __init__(self, sources: int) -> None:
        self.marks: list[Mark] = []
        self._sources = sources
        self._held = ""
        self._length = 0
        # Whether what was said ends in a bracket that may still become a mark.
        self._open = False

    def feed(self, text: str) -> str:
        """Take the next piece, return what can be said now (maybe nothing)."""
        if not (self._held or self._open or text[-1:] == " ") and "[" not in text:
            # Most pieces: nothing in them, or before them, may become a mark.
            self._length += len(text)
            return text
        self._held += text
        return self._release(final=False)

    def flush(self) -> str:
        """Return what is still held back: no more text will come."""
        return self._release(final=True)

    def _release(self, *, final: bool) -> str:
        said: list[str] = []
        held, at = self._held, 0
        while at < len(held):
            bracket = held.find("[", at)
            end = bracket if bracket >= 0 else len(held)
            # The spaces before a mark go with it when it is dropped, so they wait as well.
            blank = max(at, end - _MOST_SPACES)
            blank += len(held[blank:end].rstrip(" "))
            said.append(self._say(held[at:blank]))
            at = blank
            if bracket < 0:
                if final:
                    said.append(self._say(held[at:]))
                    at = len(held)
                break
            if not final and _BEGUN.fullmatch(held, bracket):
                break
            if final and _CUT.fullmatch(held, bracket):
                at = len(held)
                break
            whole = _WHOLE.match(held, bracket)
            if whole is None:
                # Of `[12[` the first bracket goes: closed later, it would look like a mark.
                broken = _BROKEN.match(held, bracket)
                said.append(self._say(held[at : bracket + (broken is None)]))
            elif numbers := self._known(whole[1] or whole[2]):
                said.append(self._say(held[at:bracket]))
                said += [self._mark(number) for number in numbers]
            elif self._open:
                # What stands around a dropped mark must not close up to another one.
                said.append(self._say("[]"))
            at = whole.end() if whole else bracket + 1
        self._held = held[at:]
        return "".join(said)

    def _known(self, inner: str) -> list[int]:
        found: list[int] = []
        for first, last in _RANGE.findall(inner):
            low, high = int(first), int(last or first)
            span = range(low, min(high, self._sources) + 1) if low <= high else (low,)
            found += [n for n in span if 1 <= n <= self._sources and n not in found]
        return found

    def _mark(self, number: int) -> str:
        mark = f"[{number}]"
        self.marks.append(Mark(number, self._length, self._length + len(mark)))
        return self._say(mark)

    def _say(self, text: str) -> str:
        self._length += len(text)
        if tail := _OPEN.search(text):
            self._open = bool(tail[1]) or (self._open and tail.start() == 0)
        return text


def without_marks(answer: str) -> str:
    """Remove the marks from an answer."""
    return _MARK.sub("", answer)
