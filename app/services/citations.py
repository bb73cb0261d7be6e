"""A model's text comes in, piece by piece; it goes out with only such marks as name a source. Pure.

A mark is `[1]`. Models write it in other ways too, which leave here as plain marks: `[1, 3]` and
`[1-3]` as `[1][2][3]`, `[[1]](https://…)` and `[1](https://…)` as `[1]`. A number that names no
source is dropped, with the spaces before it when nothing is left of the mark; so is a mark
that the end cuts in two. All other text in brackets passes unharmed. What comes out does not
depend on where the pieces were cut.
"""

import re

from app.schemas import Mark

_NUMBERS = r"\s?\^?\d{1,18}(?:\s?[,;–-]\s?\d{1,18}){0,7}\s?"
# A whole citation: one or two opening brackets, numbers, as many closing ones, maybe a link.
_WHOLE = re.compile(
    rf"\[(?:({_NUMBERS})\]|\[({_NUMBERS})\]\])"
    r"(?:\((?:[a-z][a-z0-9+.-]{0,15}:|#|/)[^\s()]{0,480}\))?"
)
# What may still become one, or a longer one, when more text comes; its limits lie above those
# of a whole one, or the places where the text is cut would show.
_BEGUN = re.compile(
    r"\[[\d\s,;–^-]{0,200}(?:\](?:\([^\s()]{0,505})?)?"
    r"|\[\[[\d\s,;–^-]{0,200}(?:\]|\]\](?:\([^\s()]{0,505})?)?"
)
# One that the end of the text has cut: `[12`.
_CUT = re.compile(r"\[{1,2}\s?\^?\d[\d\s,;–-]*")
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

    def feed(self, text: str) -> str:
        """Take the next piece, return what can be said now (maybe nothing)."""
        self._held += text
        return self._release(final=False)

    def flush(self) -> str:
        """Return what is still held back: no more text will come."""
        return self._release(final=True)

    def _release(self, *, final: bool) -> str:
        said: list[str] = []
        while self._held:
            bracket = self._held.find("[")
            plain = self._held if bracket < 0 else self._held[:bracket]
            spaces = plain[len(plain.rstrip(" ")) :]
            said.append(self._say(plain[: len(plain) - len(spaces)]))
            self._held = self._held[len(plain) - len(spaces) :]
            if bracket < 0:
                # Spaces wait for what follows: before a mark that is dropped they go with it.
                if final:
                    said.append(self._say(spaces))
                    self._held = ""
                break
            candidate = self._held[len(spaces) :]
            if _BEGUN.fullmatch(candidate) and not final:
                break
            if final and _CUT.fullmatch(candidate):
                self._held = ""
                break
            self._held = candidate
            said.append(self._decide(spaces))
        return "".join(said)

    def _decide(self, spaces: str) -> str:
        whole = _WHOLE.match(self._held)
        if whole is None:
            self._held = self._held[1:]
            return self._say(spaces + "[")
        self._held = self._held[whole.end() :]
        numbers = self._known(whole[1] or whole[2])
        if not numbers:
            return ""
        said = self._say(spaces)
        for number in numbers:
            mark = f"[{number}]"
            self.marks.append(Mark(number, self._length, self._length + len(mark)))
            said += self._say(mark)
        return said

    def _known(self, numbers: str) -> list[int]:
        found: list[int] = []
        for part in re.split(r"[,;]", numbers.replace("^", "")):
            first, *rest = (int(n) for n in re.split(r"[–-]", part))
            last = rest[-1] if rest else first
            span = range(first, min(last, self._sources) + 1) if first <= last else (first,)
            found += [n for n in span if 1 <= n <= self._sources and n not in found]
        return found

    def _say(self, text: str) -> str:
        self._length += len(text)
        return text


def without_marks(answer: str) -> str:
    """Remove the marks from an answer."""
    return _MARK.sub("", answer)
