"""The table is aligned and fits a terminal; the JSON has the same rows."""

import io
import json

import pytest

from app.cli.doctor.report import MAX_WIDTH, Report
from app.cli.doctor.servers import location
from app.config_transport import is_local

LONG = "a finding of many words " * 20
URL = "https://example.com/" + "x" * 100


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def fill(report: Report) -> None:
    report.heading("Models")
    report.ok("language model", "fine")
    report.warn("streaming", LONG, LONG)
    report.fail("embedder", "broken\x1b[2J\nbadly", URL)
    report.skip("resume", "")
    report.close()


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_the_table_is_aligned_and_wrapped(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    out = io.StringIO()
    fill(Report(out))
    lines = out.getvalue().splitlines()
    width = max(61, min(columns, MAX_WIDTH))
    assert all(len(line) <= width or URL in line for line in lines)
    assert lines[2] == "  ok       language model      fine"
    assert lines[3].startswith("  warning  streaming           a finding")
    assert any(line.startswith(" " * 31 + "→ a finding") for line in lines)
    assert any(line.endswith(URL) for line in lines)
    assert "broken [2J badly" in out.getvalue()
    assert lines[-1] == "1 ok, 1 warning, 1 failed, 1 skipped"


@pytest.mark.parametrize("columns", range(61, 80))
def test_a_number_and_its_unit_are_on_one_line(
    columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    out = io.StringIO()
    Report(out).ok("first token", "answered in " + "1.3 s " * 20)
    assert out.getvalue().count("1.3 s") == 20


def test_colours_are_for_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    out = Terminal()
    fill(Report(out))
    assert "\x1b[1;31mfailed   \x1b[0membedder" in out.getvalue()
    monkeypatch.setenv("NO_COLOR", "1")
    plain = Terminal()
    fill(Report(plain))
    assert "\x1b" not in plain.getvalue()


def test_json_is_a_list_of_rows() -> None:
    out = io.StringIO()
    report = Report(out, as_json=True)
    fill(report)
    rows = json.loads(out.getvalue())
    assert rows[0] == {"check": "language model", "status": "ok", "finding": "fine", "advice": ""}
    assert [row["status"] for row in rows] == ["ok", "warning", "failed", "skipped"]
    assert report.failed


@pytest.mark.parametrize(
    ("url", "expected", "local"),
    [
        ("postgresql://user:secret@db.example.com:5432/app?x=y", "db.example.com:5432", False),
        ("postgresql://u:s@a:1,b:2/app", "a:1,b:2", False),
        ("postgresql:///app?host=/run/postgresql&password=secret", "/run/postgresql", True),
        ("postgresql:///app", "this machine", True),
        ("rediss+cluster://u:secret@10.0.0.1:1,[::1]:2", "10.0.0.1:1,[::1]:2", False),
        ("redis://:secret@[::1]:6379/0", "[::1]:6379", True),
        ("unix:///run/my%20redis.sock?password=secret", "/run/my redis.sock", True),
        ("postgresql://user:1/secret@db:5432/app", "the URL", False),
        ("postgresql://user:se@cr/et@db:5432/app", "the URL", False),
        ("http://secret@localhost:11434/v1?key=secret", "localhost:11434", True),
    ],
)
def test_the_location_of_a_server_has_no_secrets(url: str, expected: str, local: bool) -> None:
    assert location(url) == expected
    assert is_local(url) == local
