"""A run tells how far it is, and at its end what it did."""

import io

from app.services.ingest.progress import ProgressLines, summary
from app.services.ingest.report import Progress, Report

REPORT = Report(
    library="demo",
    creators=2,
    videos=1_200,
    pages=3,
    passages=45_000,
    words=6_700_000,
    added=5,
    changed=0,
    unchanged=1_198,
    removed=1,
    broken=(("ann/x.srt", "there are no captions in it"),),
    skipped=4,
    seconds=12.34,
)


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def run(stream: io.StringIO) -> str:
    with ProgressLines(stream) as lines:
        lines(Progress("reading"))
        for done in range(1, 101):
            lines(Progress("documents", done, 100, f"{done}.md"))
        lines(Progress("words", 100, 100))
    return stream.getvalue()


def test_elsewhere_than_on_a_terminal_there_are_few_lines() -> None:
    assert run(io.StringIO()).splitlines() == [
        "1 of 100 documents, 1.md",
        "100 of 100 documents, 100.md",
        "counting words …",
    ]


def test_a_terminal_has_a_bar() -> None:
    shown = run(Terminal())

    assert "100/100" in shown
    assert "100.md" not in shown


def test_who_has_to_wait_is_told() -> None:
    stream = io.StringIO()

    ProgressLines(stream)(Progress("waiting"))

    assert stream.getvalue() == "waiting for another ingestion to end …\n"


def test_a_summary_has_the_counts_and_what_is_broken() -> None:
    assert summary(REPORT) == (
        "demo: 5 added, 1 removed, 1 broken, 1,198 unchanged, in 12.3 s\n"
        "  creators          2\n"
        "  videos        1,200\n"
        "  pages             3\n"
        "  passages     45,000\n"
        "  words     6,700,000\n"
        "  4 files of other kinds were left out\n"
        "  broken: ann/x.srt: there are no captions in it"
    )
