"""Log lines: no control characters, and ids shortened."""

import logging

import pytest

from app.logs import TextFormatter, shortened_id, shortened_path

HOSTILE = "a\nFORGED\x1b[31m\u202e\x9b\u2028\ud800b"
ID = f"t_{'0' * 32}"


def formatted(message: str, error: BaseException | None = None) -> str:
    exception = (type(error), error, error.__traceback__) if error else None
    record = logging.LogRecord("app", logging.INFO, "", 0, "%s", (message,), exception)
    return TextFormatter("%(levelname)s %(message)s").format(record)


def test_text_line_has_only_printable_characters() -> None:
    assert formatted(HOSTILE) == r"INFO a\nFORGED\x1b[31m\u202e\x9b\u2028\ud800b"
    assert formatted("Größe … 漢") == "INFO Größe … 漢"


def test_traceback_keeps_its_line_breaks_only() -> None:
    lines = formatted("failed", ValueError(HOSTILE.replace("\n", ""))).split("\n")
    assert lines == ["INFO failed", r"ValueError: aFORGED\x1b[31m\u202e\x9b\u2028\ud800b"]


@pytest.mark.parametrize(
    ("path", "short"),
    [
        (f"/api/v1/chat/{ID}", "/api/v1/chat/t_000000…"),
        (f"/library/api/v1/chat/{ID}/feedback", "/library/api/v1/chat/t_000000…/feedback"),
        ("/api/v1/conversations/12345678", "/api/v1/conversations/12345678"),
        ("/api/v1/chat", "/api/v1/chat"),
        ("/" + "x" * 1_000, "/" + "x" * 199 + "…"),
    ],
)
def test_ids_in_paths_are_shortened(path: str, short: str) -> None:
    assert shortened_path(path) == short


def test_a_request_id_is_shortened() -> None:
    assert shortened_id(ID) == "t_000000…"
    assert shortened_id("r-1") == "r-1"
