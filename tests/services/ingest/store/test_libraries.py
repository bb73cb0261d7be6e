"""Several libraries in one database, and the folders that they are read from."""

from pathlib import Path

import asyncpg
import pytest

from app.services.ingest.errors import NameTaken
from tests.services.ingest.libraries import VTT, counts, ingest, titles, write_files

pytestmark = pytest.mark.anyio


async def test_other_libraries_are_not_changed(
    database: asyncpg.Connection, tmp_path: Path
) -> None:
    await ingest(database, write_files(tmp_path / "one", {"ann/a.vtt": VTT}))

    report = await ingest(database, write_files(tmp_path / "two", {"bob/b.vtt": VTT}), prune=True)

    assert (counts(report), report.creators) == ((1, 0, 0, 0), 1)
    assert await database.fetchval("SELECT count(*) FROM creators") == 2


async def test_name_of_another_folders_library_is_refused(
    database: asyncpg.Connection, tmp_path: Path
) -> None:
    one = write_files(tmp_path / "one/talks", {"ann/a.vtt": VTT})
    two = write_files(tmp_path / "two/talks", {"bob/b.vtt": VTT})
    await ingest(database, one)

    with pytest.raises(NameTaken, match=r"'talks' .*--name"):
        await ingest(database, two)
    report = await ingest(database, two, name="others")

    assert report.library == "others"


async def test_moved_folder_keeps_its_library(database: asyncpg.Connection, tmp_path: Path) -> None:
    await ingest(database, write_files(tmp_path / "old/talks", {"ann/a.vtt": VTT}))
    (tmp_path / "old").rename(tmp_path / "new")

    report = await ingest(database, tmp_path / "new/talks")

    assert counts(report) == (0, 0, 1, 0)
    path = await database.fetchval("SELECT path FROM libraries")
    assert path == str(tmp_path / "new/talks")


async def test_folder_can_replace_one_that_no_longer_exists(
    database: asyncpg.Connection, tmp_path: Path
) -> None:
    await ingest(database, write_files(tmp_path / "old", {"ann/a.vtt": VTT}))
    (tmp_path / "old").rename(tmp_path / "away")
    new = write_files(tmp_path / "new", {"bob/b.vtt": VTT})

    report = await ingest(database, new, name="old", prune=True)

    assert counts(report) == (1, 0, 0, 1)
    assert await titles(database) == ["B"]
