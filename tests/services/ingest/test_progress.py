"""Display of a run's progress."""

import io

import pytest

from app.services.ingest.progress import Progress, ProgressDisplay


class Terminal(io.StringIO):
    """A stream that claims to be a terminal."""

    def isatty(self) -> bool:
        return True


def display_run(stream: io.StringIO) -> str:
    with ProgressDisplay(stream) as display:
        display(Progress("reading"))
        for done in range(1, 101):
            display(Progress("documents", done, 100, f"{done}.md"))
        display(Progress("words", 100, 100))
    return stream.getvalue()


def test_output_to_a_file_has_few_lines() -> None:
    first, last, counting = display_run(io.StringIO()).splitlines()

    assert first == "1 of 100 documents, 1.md"
    assert last == "100 of 100 documents, 100.md"
    assert counting.startswith("counting words")


def test_path_is_printed_without_control_and_direction_characters() -> None:
    stream = io.StringIO()
    with ProgressDisplay(stream) as display:
        display(Progress("documents", 1, 1, "a\x1b[2J\u202e.md"))

    assert r"a\x1b[2J\u202e.md" in stream.getvalue()


def test_terminal_shows_a_bar() -> None:
    shown = display_run(Terminal())

    assert "100/100" in shown
    assert "100.md" not in shown


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()])
def test_unit_is_singular_for_a_total_of_one(stream: io.StringIO) -> None:
    with ProgressDisplay(stream) as display:
        display(Progress("embeddings", 1, 1))

    assert "passage embedded" in stream.getvalue()
    assert "passages" not in stream.getvalue()


def test_waiting_for_another_ingestion_is_shown() -> None:
    stream = io.StringIO()

    ProgressDisplay(stream)(Progress("waiting"))

    assert "another ingestion" in stream.getvalue()
    assert stream.getvalue().count("\n") == 1
