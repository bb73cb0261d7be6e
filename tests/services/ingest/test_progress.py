"""A run tells how far it is, and at its end what it did."""

import io

import pytest
from msgspec.structs import replace

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
    loose=(),
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


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()])
def test_one_is_not_counted_as_many(stream: io.StringIO) -> None:
    with ProgressLines(stream) as lines:
        lines(Progress("embeddings", 1, 1))

    assert "passage embedded" in stream.getvalue()
    assert "passages" not in stream.getvalue()


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


def test_a_summary_says_of_one_file_what_it_says_of_many() -> None:
    said = summary(replace(REPORT, skipped=1, loose=("loose.md",)))

    assert "  1 file of another kind was left out\n" in said
    assert (
        "  1 file lies in no creator's folder and was left out;"
        " put it in a folder with its creator's name: loose.md\n"
    ) in said


def test_a_summary_names_only_some_of_many_files_that_lie_in_no_folder() -> None:
    said = summary(replace(REPORT, loose=tuple(f"{number}.md" for number in range(1_012))))

    assert (
        "  1,012 files lie in no creator's folder and were left out;"
        " put each in a folder with its creator's name:"
        " 0.md, 1.md, 2.md, 3.md, 4.md, 5.md, 6.md, 7.md, 8.md, 9.md and 1,002 more\n"
    ) in said
