"""Migrations run once, in order, each completely or not at all, and never backwards."""

from collections.abc import AsyncIterator
from importlib.resources import files

import anyio
import asyncpg
import pytest

from app.infra.database import DatabaseState, Migration, MigrationError, migrate, read_migrations

pytestmark = pytest.mark.anyio

FIRST = "-- migration 1: people\nCREATE TABLE people (name text);\n"
SECOND = "-- migration 2: how old they are\nALTER TABLE people ADD age integer DEFAULT 7;\n"
BROKEN = (
    "-- migration 2: a mistake\nCREATE TABLE pets (name text);\nALTER TABLE nobody ADD x int;\n"
)


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


def test_a_schema_is_split_into_migrations() -> None:
    assert read_migrations(f"-- What this is.\n\n{FIRST}\n{SECOND}") == (
        Migration(1, "people", "CREATE TABLE people (name text);"),
        Migration(2, "how old they are", "ALTER TABLE people ADD age integer DEFAULT 7;"),
    )


@pytest.mark.parametrize("schema", [SECOND, FIRST + FIRST, SECOND + FIRST])
def test_migrations_out_of_order_are_refused(schema: str) -> None:
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


async def test_the_default_schema_creates_the_tables(bare: asyncpg.Connection) -> None:
    await migrate(bare)
    assert {"creators", "documents", "passages", "schema_migrations"} <= await tables(bare)


async def test_a_second_run_changes_nothing(bare: asyncpg.Connection) -> None:
    first = await migrate(bare, FIRST)
    before = await bare.fetch("SELECT * FROM schema_migrations")
    assert await migrate(bare, FIRST) == first
    assert await bare.fetch("SELECT * FROM schema_migrations") == before


async def test_a_later_migration_keeps_existing_rows(bare: asyncpg.Connection) -> None:
    await migrate(bare, FIRST)
    await bare.execute("INSERT INTO people VALUES ('Ada')")
    assert (await migrate(bare, FIRST + SECOND)).version == 2
    rows = await bare.fetch("SELECT name, age FROM people")
    assert [tuple(row) for row in rows] == [("Ada", 7)]


async def test_a_failed_migration_is_rolled_back_and_earlier_ones_stay(
    bare: asyncpg.Connection,
) -> None:
    with pytest.raises(MigrationError, match=r"migration 2 \(a mistake\) failed"):
        await migrate(bare, FIRST + BROKEN)
    assert await tables(bare) == {"people", "schema_migrations"}
    assert (await migrate(bare, FIRST + SECOND)).version == 2


async def test_a_database_of_a_newer_release_is_refused(bare: asyncpg.Connection) -> None:
    await migrate(bare, FIRST + SECOND)
    with pytest.raises(MigrationError, match="schema version 2") as refusal:
        await migrate(bare, FIRST)
    assert "\n" not in str(refusal.value)


async def test_a_role_that_may_not_create_tables_can_use_an_up_to_date_database(
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


async def test_without_the_right_to_create_pgvector_everything_else_is_created(
    bare: asyncpg.Connection, bare_database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    await bare.execute("CREATE ROLE owner_of_tests; GRANT ALL ON SCHEMA public TO owner_of_tests")
    try:
        await bare.execute("SET ROLE owner_of_tests")
        state = await migrate(bare)
        assert state == DatabaseState(version=4, pgvector=None)
        assert "pgvector" in caplog.text
        assert {"passages", "passage_texts", "embedders"} <= await tables(bare)
        assert not await has_weights(bare)
        # It is used as soon as an administrator has created it.
        await bare.execute("RESET ROLE; CREATE EXTENSION vector; SET ROLE owner_of_tests")
        assert (await migrate(bare)).pgvector
        assert await has_weights(bare)
    finally:
        await bare.execute("RESET ROLE; DROP OWNED BY owner_of_tests; DROP ROLE owner_of_tests")


async def test_pgvector_is_used_from_version_0_8_on(bare: asyncpg.Connection) -> None:
    await bare.execute("CREATE EXTENSION vector")
    await bare.execute("UPDATE pg_extension SET extversion = '0.7.4' WHERE extname = 'vector'")
    assert (await migrate(bare)).pgvector is None
    assert not await has_weights(bare)
    # Compared as numbers: 10 is more than 8.
    await bare.execute("UPDATE pg_extension SET extversion = '0.10.0' WHERE extname = 'vector'")
    assert (await migrate(bare)).pgvector == "0.10.0"
    assert await has_weights(bare)


async def test_weights_are_created_once(bare: asyncpg.Connection) -> None:
    await migrate(bare)
    columns = "SELECT attnum FROM pg_attribute WHERE attrelid = 'passages'::regclass ORDER BY 1"
    before = await bare.fetch(columns)
    # A second run would fail.
    assert (await migrate(bare)).pgvector
    assert await bare.fetch(columns) == before


async def test_pgvector_is_used_again_after_it_was_dropped(bare: asyncpg.Connection) -> None:
    await migrate(bare)
    await bare.execute("DROP EXTENSION vector CASCADE")
    assert (await migrate(bare)).pgvector
    assert await has_weights(bare)


async def test_an_empty_database_of_the_first_version_is_migrated(
    bare: asyncpg.Connection,
) -> None:
    first, *_ = read_migrations(files("app.infra").joinpath("schema.sql").read_text("utf-8"))
    assert (await migrate(bare, f"-- migration 1: {first.title}\n{first.sql}")).version == 1
    state = await migrate(bare)
    assert (state.version, bool(state.pgvector)) == (4, True)
    assert {"passage_texts", "embedders", "gates"} <= await tables(bare)
    assert await has_weights(bare)


async def test_a_test_database_has_the_schema_and_no_rows(database: asyncpg.Connection) -> None:
    assert await database.fetchval("SELECT count(*) FROM documents") == 0
