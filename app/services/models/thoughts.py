"""Remove the thoughts of a model from its text."""

import re
from typing import Literal

from app.infra.http.sse import BadEvent

_TAGS = ("think", "thinking", "thought", "thoughts", "reasoning", "seed:think")
_TAG = re.compile(r"<[\w:-]+>")
_PAIR = re.compile(r"(\S*?)(?:…|\.\.\.)(\S+)")
# In OpenAI's harmony format, all other channels come before the final one.
_FINAL = "<|channel|>final<|message|>"
_KNOWN = (
    *((f"<{name}>", f"</{name}>") for name in _TAGS),
    *(("[THINK]", "[/THINK]"), ("◁think▷", "◁/think▷")),
    *(("<|channel|>", _FINAL), ("<|start|>", _FINAL)),
)
# Ends of a turn that some servers leave in the text.
_ENDS = tuple(
    f"<|{name}|>" for name in ("im_end", "eot_id", "end_of_text", "endoftext", "end", "return")
)
_END = re.compile(rf"(?:\s*(?:{'|'.join(map(re.escape, _ENDS))}))+\s*$")
# The prompts of these models end with the opening mark: their text has only the closing one.
_UNMARKED = re.compile(r"(?<![a-z0-9])(r1(?![a-z0-9])|qwq)|qwen.*thinking", re.IGNORECASE)
# A tag whose attributes are still incomplete; a longer one is not a mark.
_UNFINISHED_TAG = re.compile(r"(<[\w:-]+)\s[^<>]{0,200}$")
_SPACE = re.compile(r"\s*")
# Characters at the end of a text that may be held back, or are searched for the ends of a turn.
_TAIL = 256
# Characters that may be thoughts without an opening mark, which are kept until that is certain.
MAX_KEPT = 1_000_000


class LoneClosingMark(BadEvent):
    """The text that was passed on as the answer is thoughts."""


class ThoughtMarks:
    """The marks around thoughts: the known ones, and `extra` such as `<a>…</a> [b]…[/b]`.

    `unmarked` is set if `extra` has a closing mark alone, such as `…</a>`: text begins with
    thoughts that have no opening mark.
    """

    def __init__(self, extra: str = "") -> None:
        given = _PAIR.findall(extra)
        self.unmarked = any(not opening for opening, _ in given)
        pairs = [*_KNOWN, *(pair for pair in given if pair[0])]
        closings = [closing for _, closing in (*_KNOWN, *given)]
        self.closings = [re.compile(re.escape(closing), re.IGNORECASE) for _, closing in pairs]
        self.opening = re.compile("|".join(f"({_pattern(o)})" for o, _ in pairs), re.IGNORECASE)
        self.closing = re.compile("|".join(map(re.escape, closings)), re.IGNORECASE)
        # Closing marks first: that of the harmony format begins with an opening mark.
        self._any = re.compile(f"({self.closing.pattern})|{self.opening.pattern}", re.IGNORECASE)
        self._marks = [mark.lower() for mark in (*closings, *(opening for opening, _ in pairs))]
        self.longest = max(map(len, self._marks))

    def may_begin(self, text: str) -> bool:
        """Return whether a mark, or the end of a turn, may begin with the text."""
        if len(text) > _TAIL:
            return False
        lower = text.lower()
        if tag := _UNFINISHED_TAG.match(lower):
            return f"{tag[1]}>" in self._marks
        return any(mark.startswith(lower) for mark in (*self._marks, *_ENDS))

    def first_is_closing(self, text: str) -> bool | None:
        """Return whether the first mark within a text is a closing one, None if it has none.

        A closing mark in quotes as code is not one.
        """
        mark = self._any.search(text)
        return mark and mark[1] is not None and text[mark.start() - 1 : mark.start()] != "`"


def _pattern(opening: str) -> str:
    """Return the pattern of an opening mark; a tag may have attributes."""
    if _TAG.fullmatch(opening):
        return rf"{re.escape(opening[:-1])}(?:\s[^<>]{{0,200}})?>"
    return re.escape(opening)


def begins_with_thoughts(model: str) -> bool:
    """Return whether a model is known by its name for thoughts that have no opening mark."""
    return _UNMARKED.search(model) is not None


class ThoughtFilter:
    """Removes the thoughts from the start of an answer, and joins split surrogate pairs.

    With `hold`, the answer may begin with thoughts that have no opening mark: all text is held back
    until a closing mark or the end. `plain` is set while text without `<` and surrogates passes
    unchanged, `answered` once text was returned that is not blank. `unmarked` is true if thoughts
    without an opening mark were found, false if held text had none to its end, None before.
    """

    def __init__(self, marks: ThoughtMarks, hold: bool = False) -> None:
        self.plain = False
        self.answered = False
        self.unmarked: bool | None = None
        self._marks = marks
        self._hold = hold
        self._part: Literal["start", "thoughts", "unmarked", "answer"] = "start"
        self._closing = marks.closing
        # The end of the text, which may become a mark; before it, what may be unmarked thoughts.
        self._held = ""
        self._kept: list[str] = []
        self._kept_length = 0
        self._after_thoughts = False
        # Marks in the rest of the answer are a part of it: it is about them.
        self._marks_are_text = False

    def found_elsewhere(self) -> None:
        """Stop holding text back: the server sends the thoughts apart from it."""
        self._hold = False

    def add(self, piece: str, last: bool = False, cut: bool = False) -> str:
        """Return the text that is certain so far; with the `last` piece, all remaining text.

        If the text is `cut` there, held text may be thoughts without their end and is dropped.
        Raises LoneClosingMark.
        """
        text, self._held = self._held + piece, ""
        # The position is moved rather than the text cut: it may be long, and have many marks.
        position = 0
        while self._part != "answer":
            if self._part == "start":
                if (space := _SPACE.match(text, position)) and self._after_thoughts:
                    position = space.end()
                start = space.end() if space else position
                beginning = text[start : start + _TAIL + 1]
                if not beginning or (not last and self._marks.may_begin(beginning)):
                    self._held = text[max(position, len(text) - 2 * _TAIL) :]
                    return ""
                self._start(text, start)
                continue
            mark = self._closing.search(text, position)
            if mark is None:
                return self._without_closing(text[position:], last, cut)
            self.unmarked = self.unmarked or self._part == "unmarked" or None
            position, self._part, self._hold = mark.end(), "start", False
            self._after_thoughts = self._marks_are_text = True
            self._kept.clear()
            self._kept_length = 0
        return self._answer(text[position:], last)

    def _start(self, text: str, position: int) -> None:
        if (opening := self._marks.opening.match(text, position)) and opening.lastindex:
            self._part, self._closing = "thoughts", self._marks.closings[opening.lastindex - 1]
        elif self._marks.closing.match(text, position):
            self._part, self._closing = "thoughts", self._marks.closing
        elif self._hold or (not self._marks_are_text and self._marks.first_is_closing(text)):
            self._part, self._closing = "unmarked", self._marks.closing
        else:
            self._part = "answer"

    def _without_closing(self, text: str, last: bool, cut: bool) -> str:
        if last:
            if cut or self._part == "thoughts":
                return ""
            self.unmarked = False
            return self._answer("".join(self._kept) + text, last)
        end = len(text) - self._marks.longest + 1
        self._held = text[max(end, 0) :]
        if self._part == "unmarked":
            self._kept.append(text[: max(end, 0)])
            self._kept_length += len(self._kept[-1])
            if self._kept_length > MAX_KEPT:
                raise BadEvent(f"the thoughts have more than {MAX_KEPT:,} characters")
        return ""

    def _answer(self, text: str, last: bool) -> str:
        if "<" in text and not self._marks_are_text:
            closing = self._marks.first_is_closing(text)
            if closing:
                self.unmarked = True
                raise LoneClosingMark("the model's thoughts have no opening mark")
            self._marks_are_text = closing is not None
        text = _without_end(text) if last else self._hold_end(text)
        self.plain = not self._held
        self.answered = self.answered or bool(text.strip())
        return text if text.isascii() else _join_surrogates(text)

    def _hold_end(self, text: str) -> str:
        """Hold back the end of a text that may become a mark or a surrogate pair."""
        end = text.rfind("<", -_TAIL)
        if end < 0 or not self._marks.may_begin(text[end:].rstrip()):
            end = len(text) - ("\ud800" <= text[-1:] <= "\udbff")
        self._held = text[end:]
        return text[:end]


def _without_end(text: str) -> str:
    return text[:-_TAIL] + _END.sub("", text[-_TAIL:])


def _join_surrogates(text: str) -> str:
    """Join surrogate pairs; a lone surrogate becomes U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
