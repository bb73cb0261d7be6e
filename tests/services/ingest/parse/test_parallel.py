"""Parsing in other processes, which may crash, hang or run out of memory."""

import os
from pathlib import Path

import anyio
import pytest

from app.services.ingest.entry import LibraryEntry
from app.services.ingest.files import LibraryFolder
from app.services.ingest.parse.document import Document
from app.services.ingest.parse.parallel import ParseLimits, parse_files
from tests.services.ingest.libraries import VTT, write_files

pytestmark = pytest.mark.anyio


class Crash(LibraryEntry, frozen=True):
    """An entry that ends the process that receives it."""

    def __reduce__(self) -> tuple[object, ...]:
        return (os.abort, ())


def entry(path: str) -> LibraryEntry:
    # A short text in a known language does not load the language detector.
    return LibraryEntry(key=path, path=path, creator="ann", language="en")


async def parse(
    folder: Path, *entries: LibraryEntry, limits: ParseLimits | None = None
) -> dict[str, Document | str]:
    with anyio.fail_after(120):
        parsed = parse_files(LibraryFolder(folder), entries, limits or ParseLimits())
        return {one.key: found async for one, found in parsed}


async def test_file_that_crashes_its_process_is_broken_and_the_rest_is_parsed(
    tmp_path: Path,
) -> None:
    write_files(tmp_path, {"a.vtt": VTT, "c.vtt": VTT})
    crash = Crash(key="b.vtt", path="b.vtt", creator="ann")

    found = await parse(tmp_path, entry("a.vtt"), crash, entry("c.vtt"))

    assert found["b.vtt"] == "crashes the parser (exit status -6)"
    assert isinstance(found["a.vtt"], Document)
    assert isinstance(found["c.vtt"], Document)


async def test_file_that_takes_too_long_is_broken_and_the_rest_is_parsed(tmp_path: Path) -> None:
    # Takes minutes.
    write_files(tmp_path, {"slow.md": "- [a\n" * 1_000_000, "b.txt": "a"})

    found = await parse(tmp_path, entry("slow.md"), entry("b.txt"), limits=ParseLimits(seconds=1))

    assert found["slow.md"] == "takes longer than 1 s to parse"
    assert isinstance(found["b.txt"], Document)


@pytest.mark.skipif(not Path("/proc/self/statm").is_file(), reason="memory is limited on Linux")
async def test_file_that_needs_too_much_memory_is_broken_and_the_rest_is_parsed(
    tmp_path: Path,
) -> None:
    write_files(tmp_path, {"large.txt": "a. " * 5_000_000, "b.vtt": VTT})

    found = await parse(
        tmp_path,
        entry("large.txt"),
        entry("b.vtt"),
        limits=ParseLimits(memory_bytes=200 * 1024 * 1024),
    )

    assert found["large.txt"] == "needs too much memory to parse"
    assert isinstance(found["b.vtt"], Document)


async def test_stopping_early_does_not_wait_for_running_parsers(tmp_path: Path) -> None:
    write_files(tmp_path, {"a.vtt": VTT, "slow.md": "- [a\n" * 1_000_000})

    with anyio.fail_after(25):
        files = parse_files(LibraryFolder(tmp_path), [entry("a.vtt"), entry("slow.md")])
        first, _ = await anext(files)
        await files.aclose()

    assert first.key == "a.vtt"
