"""Read JSON Lines files with error messages that name the line."""

from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from app.services.evaluation.errors import EvaluationError

Line = TypeVar("Line")


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines that are not blank, with their numbers. Raises EvaluationError."""
    try:
        # str.splitlines would also split at U+2028, which JSON strings may contain.
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise EvaluationError(f"{path} cannot be read: {error}") from None
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield number, line.strip()


def read_json_lines(path: Path, line_type: type[Line]) -> Iterator[Line]:
    """Yield each line, decoded and validated. Raises EvaluationError."""
    decoder = msgspec.json.Decoder(line_type)
    for number, line in read_lines(path):
        try:
            yield decoder.decode(line)
        except msgspec.MsgspecError as error:
            raise EvaluationError(f"{path}, line {number}: {error}") from None
