"""The findings of `doctor`, as a table for people or as JSON."""

import os
import re
import shutil
import textwrap
from collections import Counter
from enum import StrEnum
from typing import TextIO

import msgspec
from msgspec import Struct

# Columns at most, and without a terminal.
MAX_WIDTH, DEFAULT_WIDTH = 120, 100
# Columns before the finding: a margin, the status, the check.
STATUS_WIDTH, CHECK_WIDTH = 9, 20
_INDENT = " " * (2 + STATUS_WIDTH + CHECK_WIDTH)
_PLAIN = "\x1b[0m"
# A number and its unit stay on one line.
_BEFORE_UNIT = re.compile(r"(?<=\d) (?=\w)")
_NO_BREAK_SPACE = "\u00a0"
# Control characters from a server could send commands to the terminal.
_CONTROLS = dict.fromkeys({*range(0x20), *range(0x7F, 0xA0)}, " ")


class Status(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


_COLOURS = {
    Status.OK: "\x1b[32m",
    Status.WARNING: "\x1b[33m",
    Status.FAILED: "\x1b[1;31m",
    Status.SKIPPED: "\x1b[2m",
}


class Row(Struct, frozen=True):
    """One check: what was found, and what to do about it (empty: nothing)."""

    check: str
    status: Status
    finding: str
    advice: str = ""


class Report:
    """Collects rows, and prints each as it is added unless the report is JSON."""

    def __init__(self, out: TextIO, *, as_json: bool = False) -> None:
        self.rows: list[Row] = []
        self._out, self._as_json = out, as_json
        self._width = min(MAX_WIDTH, shutil.get_terminal_size((DEFAULT_WIDTH, 24)).columns)
        plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not out.isatty()
        self._colours = {} if plain else _COLOURS

    @property
    def failed(self) -> bool:
        """Whether a check failed."""
        return any(row.status is Status.FAILED for row in self.rows)

    def ok(self, check: str, finding: str) -> None:
        """Add a check that found nothing to change."""
        self._add(Row(check, Status.OK, finding))

    def warn(self, check: str, finding: str, advice: str) -> None:
        """Add a check that found something that works, but not well."""
        self._add(Row(check, Status.WARNING, finding, advice))

    def fail(self, check: str, finding: str, advice: str) -> None:
        """Add a check that found something that does not work."""
        self._add(Row(check, Status.FAILED, finding, advice))

    def skip(self, check: str, finding: str, advice: str = "") -> None:
        """Add a check that could not be made, or that does not apply."""
        self._add(Row(check, Status.SKIPPED, finding, advice))

    def heading(self, title: str) -> None:
        """Begin a group of checks."""
        if not self._as_json:
            bold = "\x1b[1m" if self._colours else ""
            print(f"\n{bold}{title}{_PLAIN if bold else ''}", file=self._out, flush=True)

    def close(self) -> None:
        """Print the JSON, or the number of rows by status."""
        if self._as_json:
            print(msgspec.json.format(msgspec.json.encode(self.rows)).decode(), file=self._out)
            return
        counts = Counter(row.status for row in self.rows)
        total = ", ".join(f"{counts[status]} {status}" for status in Status if counts[status])
        print(f"\n{total}", file=self._out, flush=True)

    def _add(self, row: Row) -> None:
        clean = (" ".join(text.translate(_CONTROLS).split()) for text in (row.finding, row.advice))
        row = Row(row.check, row.status, *clean)
        self.rows.append(row)
        if not self._as_json:
            print("\n".join(self._lines(row)), file=self._out, flush=True)

    def _lines(self, row: Row) -> list[str]:
        first, *rest = self._wrap(row.finding, _INDENT)
        status = row.status.ljust(STATUS_WIDTH)
        if colour := self._colours.get(row.status):
            status = f"{colour}{status}{_PLAIN}"
        lines = [f"  {status}{row.check.ljust(CHECK_WIDTH)}{first.strip()}", *rest]
        if row.advice:
            first, *rest = self._wrap(row.advice, f"{_INDENT}  ")
            lines += [f"{_INDENT}→ {first.strip()}", *rest]
        return lines

    def _wrap(self, text: str, indent: str) -> list[str]:
        # Long words, such as URLs, stay whole so that they can be copied.
        lines = textwrap.wrap(
            _BEFORE_UNIT.sub(_NO_BREAK_SPACE, text),
            max(self._width, len(indent) + 30),
            initial_indent=indent,
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
        )
        return [line.replace(_NO_BREAK_SPACE, " ") for line in lines] or [""]


def duration(seconds: float) -> str:
    """Format a duration."""
    return f"{seconds:.1f} s" if seconds >= 1 else f"{1000 * seconds:.0f} ms"
