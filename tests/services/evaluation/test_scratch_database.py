"""Scratch databases are created and always dropped."""

from pathlib import Path

import anyio
import asyncpg
import pytest

from app.services.evaluation.errors import EvaluationError
from app.services.evaluation.scratch_database import PREFIX, scratch_database, with_database_name

pytestmark = pytest.mark.anyio


async def scratch_databases(connection: asyncpg.Connection) -> list[str]:
    rows = await connection.fetch("SELECT datname FROM pg_database WHERE datname ~ $1", PREFIX)
    return [row["datname"] for row in rows]


async def test_database_is_created_and_dropped(
    database: asyncpg.Connection, database_url: str
) -> None:
    async with scratch_database(database_url) as url:
        connection = await asyncpg.connect(url)
        name = await connection.fetchval("SELECT current_database()")
        # The open connection does not prevent dropping it.
        assert await scratch_databases(database) == [name]
    assert await scratch_databases(database) == []
    await connection.close()


async def test_database_is_dropped_after_a_cancellation(
    database: asyncpg.Connection, database_url: str
) -> None:
    with anyio.CancelScope() as scope:
        async with scratch_database(database_url):
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert await scratch_databases(database) == []


async def test_missing_privilege_is_an_error_that_names_it(
    superuser: asyncpg.Connection, database_url: str
) -> None:
    role = "reader_of_" + database_url.partition("?")[0].rpartition("/")[2]
    await superuser.execute(f"CREATE ROLE {role} LOGIN")
    try:
        with pytest.raises(EvaluationError, match="CREATEDB"):
            async with scratch_database(database_url.replace("chat@", f"{role}@")):
                pytest.fail("a database was created")
    finally:
        await superuser.execute(f"DROP ROLE {role}")


async def test_unreachable_server_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="DATABASE_URL: PostgreSQL cannot be used"):
        async with scratch_database(f"postgresql:///any?host={tmp_path}"):
            pytest.fail("a database was created")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (
            "postgresql://me:pw@db:5432/old?ssl=require",
            "postgresql://me:pw@db:5432/new?ssl=require",
        ),
        ("postgresql:///old?host=/run/a", "postgresql:///new?host=/run/a"),
        ("postgres://db", "postgres://db/new"),
    ],
)
def test_only_the_database_name_changes(url: str, expected: str) -> None:
    assert with_database_name(url, "new") == expected
