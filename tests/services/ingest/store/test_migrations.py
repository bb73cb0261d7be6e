"""Migrations that compute columns for libraries ingested by earlier releases."""

from importlib.resources import files
from pathlib import Path

import asyncpg
import pytest

from app.infra.database import migrate
from tests.services.ingest.libraries import counts, ingest, manifest_library, video

pytestmark = pytest.mark.anyio

STATE = {
    "passages": "SELECT document_id, strip(search), length, weights::text FROM passages ORDER BY 1",
    "terms": "SELECT language, lexeme, passages FROM terms ORDER BY 1, 2",
    "languages": "SELECT language, passages, stale, changed, counted_to FROM languages ORDER BY 1",
}
# As in a database of schema version 2.
DOWNGRADE = """
UPDATE passages SET search = ts_filter(search, '{a,b,d}');
UPDATE passages SET length = words_in(search);
UPDATE languages SET mean_length = (SELECT avg(length) FROM passages);
CREATE OR REPLACE FUNCTION bm25_weights(search tsvector, length integer, mean_length real)
    RETURNS sparsevec LANGUAGE sql IMMUTABLE RETURN '{1:1}/268435456'::sparsevec;
UPDATE passages SET weights = bm25_weights(search, length, 1);
DELETE FROM terms;
INSERT INTO terms SELECT 'english', word, ndoc FROM ts_stat('SELECT search FROM passages');
DROP TABLE secrets, key_usage, keys;
DELETE FROM schema_migrations WHERE version >= 3;
"""


async def state(database: asyncpg.Connection) -> dict[str, list[tuple[object, ...]]]:
    return {
        name: [tuple(row) for row in await database.fetch(query)] for name, query in STATE.items()
    }


async def test_names_and_weights_of_an_older_library_are_completed(
    database: asyncpg.Connection, tmp_path: Path
) -> None:
    folder = manifest_library(
        tmp_path,
        video("a", speakers=["Jean-Luc Ponty", "Mara Voss"]),
        video("b", creator="Tom O"),
        video("c", path="transcripts/c.md"),
    )
    await ingest(database, folder)
    before = await state(database)
    await database.execute(DOWNGRADE)
    mean_length = await database.fetchval("SELECT avg(length) FROM passages")
    assert await state(database) != before

    await migrate(database)
    # The mean length is brought up to date by the next ingestion; the weights depend on it.
    stored = await database.fetchval("SELECT mean_length FROM languages")
    assert stored == pytest.approx(float(mean_length))
    await database.execute(
        "UPDATE languages SET mean_length = (SELECT avg(length) FROM passages);"
        "UPDATE passages SET weights = bm25_weights(search, length,"
        " (SELECT mean_length FROM languages))"
    )
    assert await state(database) == before
    assert counts(await ingest(database, folder)) == (0, 0, 3, 0)


async def test_weights_of_an_older_library_are_computed_by_the_current_function(
    database: asyncpg.Connection, tmp_path: Path
) -> None:
    await ingest(database, manifest_library(tmp_path, video("a"), video("b")))
    await database.execute(DOWNGRADE)
    await migrate(database)
    migrated = await state(database)

    await database.execute("ALTER TABLE passages DROP COLUMN weights")
    await database.execute(files("app.infra").joinpath("vectors.sql").read_text("utf-8"))

    assert (await state(database))["passages"] == migrated["passages"]


async def test_documents_with_names_in_unspaced_scripts_are_written_again(
    database: asyncpg.Connection, tmp_path: Path
) -> None:
    folder = manifest_library(tmp_path, video("a", speakers=["王小明"]), video("b"))
    await ingest(database, folder)
    before = await state(database)
    await database.execute(DOWNGRADE)
    await migrate(database)

    assert counts(await ingest(database, folder)) == (0, 1, 1, 0)

    words = "SELECT strip(search) AS search FROM passages ORDER BY document_id"
    searched = [row["search"] for row in await database.fetch(words)]
    assert searched == [row[1] for row in before["passages"]]
