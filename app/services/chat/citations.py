"""Filter a model's streamed text so that it cites only sources that exist.

Citation markers have the form `[1]`. Other forms that models write are normalized: `[1, 3]` becomes
`[1][3]`, `[1-3]` becomes `[1][2][3]`, `[[1]](https://…)` and `[1](https://…)` become `[1]`. A
number without a source is dropped, with the spaces before it if nothing is left of the marker, and
so is a marker cut off by the end of the text. Other bracketed text passes unchanged. The result
does not depend on how the text is split into pieces.
"""

import re

from app.schemas import CitationSpan

_NUMBERS = r"(?=[^\]\[]*\d)[\d\s,;–^-]{1,200}"
_LINK = r"\((?:[a-z][a-z0-9+.-]{0,15}:|#|/)[^\s()]{0,480}\)"
# A complete citation: numbers in single or double brackets, optionally with a link.
_COMPLETE = re.compile(rf"\[(?:({_NUMBERS})\]|\[({_NUMBERS})\]\])(?:{_LINK})?")
# Text that may become a citation, or a longer one. Its limits must not be lower than those of
# _COMPLETE, or the result would depend on where the text is split.
_PARTIAL = re.compile(
    r"\[[\d\s,;–^-]{0,200}(?:\](?:\([^\s()]{0,505})?)?"
    r"|\[\[[\d\s,;–^-]{0,200}(?:\]|\]\](?:\([^\s()]{0,505})?)?"
)
# A citation cut off by the end of the text: `[12`.
_TRUNCATED = re.compile(r"\[{1,2}\s?\^?\d[\d\s,;–-]*")
_UNCLOSED = re.compile(r"\[[\s,;–^-]*\d[\d\s,;–^-]*\[")
# What may be the beginning of a marker at the end of a text, in reverse: a search for it from the
# start of a text would try each position.
_OPEN_REVERSED = re.compile(r"[\d\s,;–^-]*(\[)?")
_RANGE = re.compile(r"(\d+)(?:\s*[–-]\s*(\d+))?")
# Longer runs of spaces before a marker are intentional and stay.
_MAX_SPACES = 4
# Each marker's place is a part of the last event: further markers of an answer are dropped.
MAX_MARKERS = 1_000
_MARKER = re.compile(r"\s?\[\d+\]")


class CitationFilter:
    """Passes text through, but holds back what may become a citation until that is certain.

    `sources` is the number of sources. `spans` has the markers that were passed on, in order, with
    their positions in all the text so far.
    """

    def __init__(self, sources: int) -> None:
        self.spans: list[CitationSpan] = []
        self._sources = sources
        self._held = ""
        self._length = 0
        # Whether the text passed on ends with a bracket that could still become a marker.
        self._open = False

    def feed(self, text: str) -> str:
        """Add the next piece and return the text that is certain now, which may be empty."""
        if not (self._held or self._open or text[-1:] == " ") and "[" not in text:
            # The common case: no citation is possible.
            self._length += len(text)
            return text
        self._held += text
        return self._release(final=False)

    def flush(self) -> str:
        """Return the text still held back; call it after the last piece."""
        return self._release(final=True)

    def _release(self, *, final: bool) -> str:
        passed: list[str] = []
        held, at = self._held, 0
        while at < len(held):
            bracket = held.find("[", at)
            end = bracket if bracket >= 0 else len(held)
            # Spaces before a marker are held back, since they are dropped if the marker is.
            blank = max(at, end - _MAX_SPACES)
            blank += len(held[blank:end].rstrip(" "))
            passed.append(self._pass(held[at:blank]))
            at = blank
            if bracket < 0:
                if final:
                    passed.append(self._pass(held[at:]))
                    at = len(held)
                break
            if not final and _PARTIAL.fullmatch(held, bracket):
                break
            if final and _TRUNCATED.fullmatch(held, bracket):
                at = len(held)
                break
            citation = _COMPLETE.match(held, bracket)
            if citation is None:
                # The first bracket of `[12[` is dropped, or a later `]` could make it a marker.
                unclosed = _UNCLOSED.match(held, bracket)
                passed.append(self._pass(held[at : bracket + (unclosed is None)]))
            elif numbers := self._known(citation[1] or citation[2]):
                passed.append(self._pass(held[at:bracket]))
                passed += [self._marker(number) for number in numbers]
            elif self._open:
                # Keeps the text around a dropped marker from joining into another marker.
                passed.append(self._pass("[]"))
            at = citation.end() if citation else bracket + 1
        self._held = held[at:]
        return "".join(passed)

    def _known(self, inner: str) -> list[int]:
        found: list[int] = []
        if len(self.spans) >= MAX_MARKERS:
            return found
        for first, last in _RANGE.findall(inner):
            low, high = int(first), int(last or first)
            span = range(low, min(high, self._sources) + 1) if low <= high else (low,)
            found += [n for n in span if 1 <= n <= self._sources and n not in found]
        return found

    def _marker(self, number: int) -> str:
        marker = f"[{number}]"
        self.spans.append(CitationSpan(number, self._length, self._length + len(marker)))
        return self._pass(marker)

    def _pass(self, text: str) -> str:
        self._length += len(text)
        if tail := _OPEN_REVERSED.match(text[::-1]):
            self._open = bool(tail[1]) or (self._open and tail.end() == len(text))
        return text


def strip_markers(answer: str) -> str:
    """Remove the citation markers from an answer, with the space before each."""
    return _MARKER.sub("", answer)
