"""A run keeps what it cannot see, and the names that other libraries gave."""

import json
from pathlib import Path

import anyio
import asyncpg
import pytest

from app.services.ingest.run import ingest
from tests.services.ingest.libraries import ATTACK, INFO, VTT, write_files

pytestmark = pytest.mark.anyio


async def test_what_lies_behind_a_link_to_nowhere_is_never_pruned(
    database: asyncpg.Connection, tmp_path: Path
) -> None:
    folder = write_files(
        tmp_path / "demo",
        {"ann/a.vtt": VTT, "ann/b.vtt": VTT, "ann/gone.vtt": VTT, "bob/c.vtt": VTT},
    )
    with anyio.fail_after(30):
        await ingest(database, folder)
        (folder / "bob").rename(tmp_path / "bob")
        (folder / "bob").symlink_to("nowhere")
        (folder / "ann/b.vtt").unlink()
        (folder / "ann/b.vtt").symlink_to("nowhere")
        (folder / "ann/gone.vtt").unlink()

        report = await ingest(database, folder, prune=True)

    assert [path for path, _ in report.broken] == ["ann/b.vtt", "bob"]
    assert (report.unchanged, report.removed, report.videos) == (1, 1, 3)


async def test_a_broken_description_leaves_the_document_as_it_was(
    database: asyncpg.Connection, tmp_path: Path
) -> None:
    write_files(tmp_path, {"ann/a.vtt": VTT, "ann/a.info.json": json.dumps(INFO)})
    with anyio.fail_after(30):
        await ingest(database, tmp_path)
        write_files(tmp_path, {"ann/a.info.json": json.dumps(INFO)[:40]})

        report = await ingest(database, tmp_path, prune=True)

    assert [path for path, _ in report.broken] == ["ann/a.info.json"]
    assert (report.changed, report.removed, report.videos) == (0, 0, 1)
    row = await database.fetchrow(
        "SELECT d.title, c.name FROM documents d JOIN creators c ON c.id = d.creator_id"
    )
    assert row is not None
    assert tuple(row) == ("Kompression erklärt", "Jörg Klang")


async def test_a_folder_s_name_never_replaces_a_name_that_was_told(
    database: asyncpg.Connection, tmp_path: Path
) -> None:
    page = ATTACK.replace("Mara Voss", "Mára Voß")
    one = write_files(tmp_path / "one", {"mara-voss/attack.md": page})
    two = write_files(tmp_path / "two", {"mara-voss/a.vtt": VTT, "tom/b.vtt": VTT})
    with anyio.fail_after(30):
        for folder in (one, two):
            await ingest(database, folder)
        names = await database.fetch("SELECT name FROM creators ORDER BY slug")
        assert [row["name"] for row in names] == ["Mára Voß", "Tom"]

        write_files(two, {"tom/c.md": "---\ncreator: Tom Ö.\n---\nHello.\n"})
        await ingest(database, two)

    names = await database.fetch("SELECT name FROM creators ORDER BY slug")
    assert [row["name"] for row in names] == ["Mára Voß", "Tom Ö."]
