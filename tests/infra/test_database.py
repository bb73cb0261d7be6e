"""Migrations on a real PostgreSQL: once, in order, all or nothing, and never backwards."""

import json
from collections.abc import AsyncIterator
from importlib.resources import files

import anyio
import asyncpg
import pytest

from app.infra.database import DatabaseState, Migration, MigrationError, migrate, read_migrations
from tests.services.search.search_library import open_retriever

pytestmark = pytest.mark.anyio

FIRST = "-- migration 1: people\nCREATE TABLE people (name text);\n"
SECOND = "-- migration 2: how old they are\nALTER TABLE people ADD age integer DEFAULT 7;\n"
BROKEN = "-- migration 2: a slip\nCREATE TABLE pets (name text);\nALTER TABLE nobody ADD x int;\n"

# A document as the first release wrote it.
FIRST_LIBRARY = """
INSERT INTO libraries (name, path) VALUES ('talks', '/talks');
INSERT INTO creators (slug, name, name_key) VALUES ('mara-voss', 'Mara Voss', 'mara voss');
INSERT INTO documents (library_id, creator_id, key, kind, title, language, words, content_hash)
VALUES (1, 1, 'a', 'video', 'Side-chain', 'en', 11, '');
INSERT INTO passages (document_id, creator_id, ordinal, heading, first_sentence, sentences,
                      start_seconds, end_seconds, language, search)
VALUES (1, 1, 0, 'Attack', 3,
        '[["Set the attack of the compressor to 10 ms here.", 61.5, 65.0, null]]',
        61.5, 65.0, 'english',
        setweight(tokenize('english', 'Side chain'), 'B')
        || setweight(tokenize('english', 'Attack'), 'B')
        || setweight(tokenize('english', 'Set the attack of the compressor to 10 ms here.'), 'D'));
INSERT INTO terms
SELECT 'english', word, ndoc FROM ts_stat('SELECT search FROM passages');
INSERT INTO languages VALUES ('english', 1, false);
"""


@pytest.fixture
async def bare(anyio_backend: object, bare_database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(bare_database_url)
    yield connection
    await connection.close()


async def tables(connection: asyncpg.Connection) -> set[str]:
    rows = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    return {row["tablename"] for row in rows}


async def has_weights(connection: asyncpg.Connection) -> bool:
    columns = await connection.fetch(
        "SELECT column_name FROM information_schema.columns WHERE table_name = 'passages'"
    )
    return "weights" in {row["column_name"] for row in columns}


def test_a_schema_is_split_at_its_marks() -> None:
    assert read_migrations(f"-- What this is.\n\n{FIRST}\n{SECOND}") == (
        Migration(1, "people", "CREATE TABLE people (name text);"),
        Migration(2, "how old they are", "ALTER TABLE people ADD age integer DEFAULT 7;"),
    )


@pytest.mark.parametrize("schema", [SECOND, FIRST + FIRST, SECOND + FIRST])
def test_a_schema_whose_parts_are_out_of_order_is_no_schema(schema: str) -> None:
    with pytest.raises(ValueError, match="numbered 1, 2, 3"):
        read_migrations(schema)


async def test_ten_workers_that_start_at_once_migrate_once(bare_database_url: str) -> None:
    states: list[DatabaseState] = []

    async def worker() -> None:
        connection = await asyncpg.connect(bare_database_url)
        states.append(await migrate(connection))
        await connection.close()

    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            for _ in range(10):
                group.start_soon(worker)
    assert len(states) == 10
    assert len(set(map(repr, states))) == 1
    assert states[0].version >= 1
    assert states[0].pgvector


async def test_the_schema_of_the_service_makes_its_tables(bare: asyncpg.Connection) -> None:
    await migrate(bare)
    assert {"creators", "documents", "passages", "schema_migrations"} <= await tables(bare)


async def test_a_second_run_changes_nothing(bare: asyncpg.Connection) -> None:
    first = await migrate(bare, FIRST)
    before = await bare.fetch("SELECT * FROM schema_migrations")
    assert await migrate(bare, FIRST) == first
    assert await bare.fetch("SELECT * FROM schema_migrations") == before


async def test_a_later_part_migrates_what_is_there(bare: asyncpg.Connection) -> None:
    await migrate(bare, FIRST)
    await bare.execute("INSERT INTO people VALUES ('Ada')")
    assert (await migrate(bare, FIRST + SECOND)).version == 2
    rows = await bare.fetch("SELECT name, age FROM people")
    assert [tuple(row) for row in rows] == [("Ada", 7)]


async def test_a_part_that_fails_is_undone_and_the_earlier_ones_stay(
    bare: asyncpg.Connection,
) -> None:
    with pytest.raises(MigrationError, match=r"migration 2 \(a slip\) failed"):
        await migrate(bare, FIRST + BROKEN)
    assert await tables(bare) == {"people", "schema_migrations"}
    assert (await migrate(bare, FIRST + SECOND)).version == 2


async def test_a_database_of_a_newer_release_is_refused(bare: asyncpg.Connection) -> None:
    await migrate(bare, FIRST + SECOND)
    with pytest.raises(MigrationError, match="at version 2 of the schema") as refusal:
        await migrate(bare, FIRST)
    assert "\n" not in str(refusal.value)


async def test_a_role_that_may_not_create_can_use_what_is_up_to_date(
    bare: asyncpg.Connection,
) -> None:
    await bare.execute("CREATE ROLE reader_of_tests")
    try:
        await bare.execute("SET ROLE reader_of_tests")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await migrate(bare, FIRST)
        await bare.execute("RESET ROLE")
        await migrate(bare, FIRST)
        await bare.execute("DROP EXTENSION vector")
        await bare.execute("GRANT SELECT ON schema_migrations TO reader_of_tests")
        await bare.execute("SET ROLE reader_of_tests")
        assert await migrate(bare, FIRST) == DatabaseState(version=1, pgvector=None)
    finally:
        await bare.execute("RESET ROLE; DROP OWNED BY reader_of_tests; DROP ROLE reader_of_tests")


async def test_without_the_right_to_create_it_there_is_no_pgvector_and_all_else_is_there(
    bare: asyncpg.Connection, bare_database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    await bare.execute("CREATE ROLE owner_of_tests; GRANT ALL ON SCHEMA public TO owner_of_tests")
    try:
        await bare.execute("SET ROLE owner_of_tests")
        state = await migrate(bare)
        assert state == DatabaseState(version=2, pgvector=None)
        assert "pgvector cannot be used" in caplog.text
        assert {"passages", "passage_texts", "embedders"} <= await tables(bare)
        assert not await has_weights(bare)
        # As soon as somebody has created it, all is weighed.
        await bare.execute("RESET ROLE; CREATE EXTENSION vector; SET ROLE owner_of_tests")
        assert (await migrate(bare)).pgvector
        assert await has_weights(bare)
    finally:
        await bare.execute("RESET ROLE; DROP OWNED BY owner_of_tests; DROP ROLE owner_of_tests")


async def test_an_older_pgvector_is_none(bare: asyncpg.Connection) -> None:
    await bare.execute("CREATE EXTENSION vector")
    await bare.execute("UPDATE pg_extension SET extversion = '0.7.4' WHERE extname = 'vector'")
    assert (await migrate(bare)).pgvector is None
    assert not await has_weights(bare)
    # Newer, however it is counted: 10 is more than 8.
    await bare.execute("UPDATE pg_extension SET extversion = '0.10.0' WHERE extname = 'vector'")
    assert (await migrate(bare)).pgvector == "0.10.0"
    assert await has_weights(bare)


async def test_weights_are_made_once(bare: asyncpg.Connection) -> None:
    await migrate(bare)
    made = "SELECT attnum FROM pg_attribute WHERE attrelid = 'passages'::regclass ORDER BY 1"
    before = await bare.fetch(made)
    # Would fail if it were run once more.
    assert (await migrate(bare)).pgvector
    assert await bare.fetch(made) == before


async def test_a_pgvector_that_went_and_came_back_is_used_again(bare: asyncpg.Connection) -> None:
    await migrate(bare)
    await bare.execute("DROP EXTENSION vector CASCADE")
    assert (await migrate(bare)).pgvector
    assert await has_weights(bare)


async def test_a_library_of_the_first_version_is_searchable_once_it_is_migrated(
    bare: asyncpg.Connection, bare_database_url: str
) -> None:
    first, *_ = read_migrations(
        files("app.infra").joinpath("schema.sql").read_text(encoding="utf-8")
    )
    assert (await migrate(bare, f"-- migration 1: {first.title}\n{first.sql}")).version == 1
    await bare.execute(FIRST_LIBRARY)

    state = await migrate(bare)

    assert (state.version, bool(state.pgvector)) == (2, True)
    (row,) = await bare.fetch(
        "SELECT p.length, p.weights IS NOT NULL AS weighed, x.heading, x.first_sentence,"
        "       x.sentences::text, x.start_seconds, l.mean_length, l.counted_to = p.id AS counted"
        " FROM passages p JOIN passage_texts x ON x.passage_id = p.id"
        " JOIN languages l USING (language)"
    )
    # Title, heading and the words that are no stop words.
    assert (row["length"], row["weighed"], row["mean_length"]) == (8, True, 8.0)
    assert (row["heading"], row["first_sentence"], row["start_seconds"]) == ("Attack", 3, 61.5)
    assert (row["counted"], json.loads(row["sentences"])[0][1]) == (True, 61.5)
    async with open_retriever(bare_database_url) as retriever:
        found = await retriever.search("How long is the attack of the compressor?", "Mara Voss")
    assert found.tier == "creator"
    assert found.sources[0].citation.start_seconds == 61.5


async def test_a_test_database_has_the_schema_and_no_rows(database: asyncpg.Connection) -> None:
    assert await database.fetchval("SELECT count(*) FROM documents") == 0
