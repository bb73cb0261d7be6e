"""`doctor` checks PostgreSQL and the library, and changes neither."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from app.cli.doctor.postgres import LibraryState, check_postgres
from app.cli.doctor.report import Report
from app.config import Settings
from app.infra.database import schema_version
from tests.cli.doctor.findings import FAILED, OK, SKIPPED, WARNING, new_report, row, statuses
from tests.pgbouncer import pgbouncer

pytestmark = pytest.mark.anyio


async def check(url: str, cache: int | None = None) -> tuple[Report, LibraryState | None]:
    report = new_report()
    state = await check_postgres(
        report, Settings(database_url=url, database_statement_cache=cache), limit=5
    )
    return report, state


@pytest.fixture
async def bare(anyio_backend: object, bare_database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(bare_database_url)
    yield connection
    await connection.close()


async def test_a_good_library_has_no_findings(library_url: str) -> None:
    report, state = await check(library_url)
    assert set(statuses(report).values()) == {OK}
    assert "4 creators, 20 documents, 117 passages" in row(report, "library").finding
    assert state
    assert state.pgvector
    assert [index.dimension for index in state.indexes] == [512]


async def test_an_empty_library_is_a_warning(database_url: str) -> None:
    report, _ = await check(database_url)
    assert "ingest" in row(report, "library").advice


async def test_an_empty_database_is_migrated_later(
    bare: asyncpg.Connection, bare_database_url: str
) -> None:
    report, state = await check(bare_database_url)
    assert row(report, "schema").finding == "the database is empty; `serve` and `ingest` migrate it"
    assert row(report, "pgvector").status is WARNING
    assert state == LibraryState(True, (), 0)
    assert await bare.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0


async def test_a_database_of_a_newer_release_fails(
    database: asyncpg.Connection, database_url: str
) -> None:
    await database.execute("INSERT INTO schema_migrations VALUES (99, 'later')")
    report, _ = await check(database_url)
    assert row(report, "schema").status is FAILED
    assert f"supports only {schema_version()}" in row(report, "schema").finding


async def test_an_old_pgvector_is_a_warning(
    superuser: asyncpg.Connection, database_url: str
) -> None:
    await superuser.execute("UPDATE pg_extension SET extversion = '0.7.4' WHERE extname = 'vector'")
    report, state = await check(database_url)
    assert "too old" in row(report, "pgvector").finding
    assert state
    assert not state.pgvector


async def test_a_role_that_may_not_create_tables_fails_in_an_empty_database(
    bare: asyncpg.Connection, bare_database_url: str
) -> None:
    await bare.execute("CREATE ROLE visitor_of_tests LOGIN")
    try:
        report, _ = await check(bare_database_url.replace("chrysopedia@", "visitor_of_tests@"))
        assert row(report, "schema").status is FAILED
    finally:
        await bare.execute("DROP ROLE visitor_of_tests")


@pytest.mark.parametrize(
    ("old", "new", "finding"),
    [
        ("/test_", "/none_", "InvalidCatalogNameError"),
        ("chat@", "nobody_here:secret@", "InvalidAuthorizationSpecificationError"),
        ("port=5432", "port=5433", "no such file or directory"),
        ("postgresql:", "postgresql://nobody@host.invalid/app?", "the host name is not known"),
        ("port=5432", "port=secret", "not a valid URL"),
    ],
)
async def test_a_database_that_cannot_be_used_fails(
    database_url: str, old: str, new: str, finding: str
) -> None:
    report, state = await check(database_url.replace(old, new))
    assert state is None
    assert statuses(report) == {"PostgreSQL": FAILED}
    assert finding in row(report, "PostgreSQL").finding
    assert "secret" not in str(report.rows)


async def test_a_needless_setting_for_a_pooler_is_a_warning(library_url: str) -> None:
    report, _ = await check(library_url, cache=0)
    assert row(report, "connection pooler").status is WARNING


@pytest.mark.needs("pgbouncer")
async def test_a_pooler_is_detected(library_url: str) -> None:
    async with pgbouncer(library_url) as url:
        report, _ = await check(url)
        assert "detected" in row(report, "connection pooler").finding
        assert set(statuses(report).values()) == {OK}
        report, _ = await check(url, cache=100)
        assert row(report, "connection pooler").status is WARNING


async def test_a_remote_connection_without_tls_is_a_warning(
    library_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The tests have no other machine.
    monkeypatch.setattr("app.cli.doctor.postgres.is_local", lambda url: False)
    report, _ = await check(library_url)
    assert row(report, "PostgreSQL TLS").status is WARNING
    assert SKIPPED not in statuses(report).values()
