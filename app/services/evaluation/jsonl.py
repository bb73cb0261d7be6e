"""A file of JSON lines comes in; its lines, checked, go out, or one sentence on what is wrong."""

from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

Line = TypeVar("Line")


class EvaluationError(Exception):
    """A set cannot be measured; the message is one sentence that says why and what is expected."""


def text_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines that are not empty, with their numbers. Raises EvaluationError."""
    try:
        # JSON may hold U+2028, where str.splitlines would cut.
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise EvaluationError(f"{path} cannot be read: {error}") from None
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield number, line.strip()


def json_lines(path: Path, kind: type[Line]) -> Iterator[Line]:
    """Yield each line as a `kind`. Raises EvaluationError, which names the line that is wrong."""
    decoder = msgspec.json.Decoder(kind)
    for number, line in text_lines(path):
        try:
            yield decoder.decode(line)
        except msgspec.MsgspecError as error:
            raise EvaluationError(f"line {number} of {path} is wrong: {error}") from None
