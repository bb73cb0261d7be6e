"""Migrations on a real PostgreSQL: once, in order, all or nothing, and never backwards."""

from collections.abc import AsyncIterator

import anyio
import asyncpg
import pytest

from app.database import DatabaseState, MigrationError, Part, migrate, parts

pytestmark = pytest.mark.anyio

FIRST = "-- migration 1: people\nCREATE TABLE people (name text);\n"
SECOND = "-- migration 2: how old they are\nALTER TABLE people ADD age integer DEFAULT 7;\n"
BROKEN = "-- migration 2: a slip\nCREATE TABLE pets (name text);\nALTER TABLE nobody ADD x int;\n"


@pytest.fixture
async def bare(anyio_backend: object, bare_database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(bare_database_url)
    yield connection
    await connection.close()


async def tables(connection: asyncpg.Connection) -> set[str]:
    rows = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    return {row["tablename"] for row in rows}


def test_a_schema_is_split_at_its_marks() -> None:
    assert parts(f"-- What this is.\n\n{FIRST}\n{SECOND}") == (
        Part(1, "people", "CREATE TABLE people (name text);"),
        Part(2, "how old they are", "ALTER TABLE people ADD age integer DEFAULT 7;"),
    )


@pytest.mark.parametrize("schema", [SECOND, FIRST + FIRST, SECOND + FIRST])
def test_a_schema_whose_parts_are_out_of_order_is_no_schema(schema: str) -> None:
    with pytest.raises(ValueError, match="numbered 1, 2, 3"):
        parts(schema)


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


async def test_a_test_database_has_the_schema_and_no_rows(database: asyncpg.Connection) -> None:
    assert await database.fetchval("SELECT count(*) FROM documents") == 0
