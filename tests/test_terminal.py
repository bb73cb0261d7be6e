"""Text that is printed on a terminal has no control characters."""

import pytest

from app.terminal import in_one_line, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[31mb\x07\x9b", "a\ufffd[31mb\ufffd\ufffd"),
        ("a\r\nb\tc\u2028d", "a\nb\tc\nd"),
        ("\u202ax\u202e\u2066y\u2069", "\ufffdx\ufffd\ufffdy\ufffd"),
        ("שלום\u200f!", "שלום!"),
        ("क्‍ष می‌خواهم 👨‍👩‍👧", "क्‍ष می‌خواهم 👨‍👩‍👧"),
    ],
)
def test_controls_are_replaced_and_joiners_stay(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_one_line_is_short() -> None:
    assert in_one_line(" a\n b\x1b ") == "a b\ufffd"
    assert in_one_line("a" * 20, limit=9) == "aaaaaaaa…"
