"""Check PostgreSQL and the library in it, without changing either."""

import os
from time import perf_counter

import asyncpg
from msgspec import Struct

from app.cli.doctor.report import Report, duration
from app.cli.doctor.servers import location
from app.config import Settings
from app.config_transport import is_local, ssl_mode
from app.infra.database import (
    HAS_MIGRATIONS_TABLE,
    MIN_PGVECTOR,
    PGVECTOR_AVAILABLE,
    PGVECTOR_VERSION,
    is_supported_pgvector,
    schema_version,
)
from app.infra.database_errors import describe
from app.infra.pooler import is_pooled
from app.services.search.plan import INDEXES
from app.services.search.sql import EmbeddingIndex

MIN_VERSION = (14, 0)
# Whether, and how, the connection to PostgreSQL itself is encrypted.
TLS = "SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
MAY_CREATE = "SELECT has_schema_privilege(current_schema(), 'CREATE')"
VERSION = "SELECT coalesce(max(version), 0) FROM schema_migrations"
SIZE = """
SELECT (SELECT count(*) FROM creators) AS creators, (SELECT count(*) FROM documents) AS documents,
       (SELECT count(*) FROM passages) AS passages
"""


class LibraryState(Struct, frozen=True):
    """What the library's database can do: with pgvector, and which embeddings it holds."""

    pgvector: bool
    indexes: tuple[EmbeddingIndex, ...]
    passages: int


async def check_postgres(report: Report, settings: Settings, limit: float) -> LibraryState | None:
    """Check the database; returns what was found, None if it cannot be used."""
    url = settings.database_url
    started_at = perf_counter()
    try:
        connection = await asyncpg.connect(url, timeout=limit, statement_cache_size=0)
    except (OSError, ValueError, OverflowError, asyncpg.PostgresError, asyncpg.InterfaceError) as e:
        report.fail("PostgreSQL", f"{location(url)}: {_reason(e)}", _advice(e))
        return None
    try:
        _check_version(report, connection, url, perf_counter() - started_at)
        pooled = await _check_pooler(report, connection, settings)
        await _check_tls(report, connection, url, pooled=pooled)
        pgvector = await _check_pgvector(report, connection)
        if not await _check_schema(report, connection):
            return LibraryState(pgvector, (), 0)
        return await _check_library(report, connection, pgvector)
    finally:
        connection.terminate()


def _reason(error: BaseException) -> str:
    if isinstance(error, ValueError | OverflowError):
        # The message may quote a part of the password.
        return "not a valid URL"
    return describe(error)


def _advice(error: BaseException) -> str:
    if isinstance(error, ValueError):
        return "Correct DATABASE_URL; percent-encode special characters of the password."
    if isinstance(error, asyncpg.InvalidAuthorizationSpecificationError):
        return "Check the user and the password of DATABASE_URL, and pg_hba.conf."
    if isinstance(error, asyncpg.InvalidCatalogNameError):
        return "Create the database, or correct its name in DATABASE_URL."
    return "Check DATABASE_URL, that the server is running, and that this machine may connect."


def _check_version(
    report: Report, connection: asyncpg.Connection, url: str, seconds: float
) -> None:
    version = connection.get_server_version()
    name = f"{version.major}.{version.minor}"
    if (version.major, version.minor) < MIN_VERSION:
        report.fail(
            "PostgreSQL", f"version {name} at {location(url)}", "Upgrade it to version 14 or newer."
        )
        return
    report.ok("PostgreSQL", f"version {name} at {location(url)}, connected in {duration(seconds)}")


async def _check_pooler(report: Report, connection: asyncpg.Connection, settings: Settings) -> bool:
    cache = settings.database_statement_cache
    detected = await is_pooled(connection)
    if detected and cache:
        report.warn(
            "connection pooler",
            f"detected, and each connection prepares up to {cache} statements",
            "If searches fail with DuplicatePreparedStatementError, unset"
            " DATABASE_STATEMENT_CACHE: the pooler does not support prepared statements.",
        )
    elif detected:
        report.ok("connection pooler", "detected, so statements are not prepared")
    elif cache == 0:
        report.warn(
            "connection pooler",
            "not detected, but DATABASE_STATEMENT_CACHE is 0",
            "Unset DATABASE_STATEMENT_CACHE unless there is a pooler: searches are slower with 0.",
        )
    else:
        report.ok("connection pooler", "none")
    return detected


async def _check_tls(
    report: Report, connection: asyncpg.Connection, url: str, *, pooled: bool
) -> None:
    if is_local(url):
        report.ok("PostgreSQL TLS", "not needed: the server is on this machine")
    elif pooled:
        report.skip("PostgreSQL TLS", "unknown: PostgreSQL sees only the pooler's connection")
    else:
        row = await connection.fetchrow(TLS)
        finding = row["version"] if row and row["ssl"] else "the connection is not encrypted"
        if row and row["ssl"] and ssl_mode(url, os.environ) == "verify-full":
            report.ok("PostgreSQL TLS", finding)
            return
        report.warn(
            "PostgreSQL TLS",
            f"{finding}, and the server is not verified",
            "Add sslmode=verify-full&sslrootcert=/path/to/ca.crt to DATABASE_URL unless the network"
            " is private.",
        )


async def _check_pgvector(report: Report, connection: asyncpg.Connection) -> bool:
    version = await connection.fetchval(PGVECTOR_VERSION)
    needed = ".".join(map(str, MIN_PGVECTOR))
    if version and is_supported_pgvector(version):
        report.ok("pgvector", f"version {version}")
        return True
    if version:
        report.warn(
            "pgvector",
            f"version {version} is too old: search is by words only",
            f"Install pgvector {needed} or newer, and run `ALTER EXTENSION vector UPDATE`.",
        )
    elif await connection.fetchval(PGVECTOR_AVAILABLE):
        report.warn(
            "pgvector",
            "installed, but not created in this database",
            "`ingest` and `serve` create it if the role may; else an administrator runs"
            " `CREATE EXTENSION vector`.",
        )
        return True
    else:
        report.warn(
            "pgvector",
            "not installed: search is by words only",
            f"Install pgvector {needed} or newer on the server.",
        )
    return False


async def _check_schema(report: Report, connection: asyncpg.Connection) -> bool:
    """Check the tables; returns whether there are any that this release can read."""
    newest = schema_version()
    has_table = await connection.fetchval(HAS_MIGRATIONS_TABLE)
    version = await connection.fetchval(VERSION) if has_table else 0
    if version > newest:
        report.fail(
            "schema",
            f"version {version}, but this release supports only {newest}",
            "Run the newer release, or restore a backup made before it.",
        )
        return False
    if version == newest:
        report.ok("schema", f"version {version}, up to date")
    elif await connection.fetchval(MAY_CREATE):
        found = f"version {version} of {newest}" if version else "the database is empty"
        report.ok("schema", f"{found}; `serve` and `ingest` migrate it")
    else:
        report.fail(
            "schema",
            f"version {version} of {newest}, and this role may not create tables",
            "Grant the role CREATE on the schema, or migrate as another role with `ingest`.",
        )
    # Earlier versions may lack the tables that the further checks read.
    return bool(version == newest)


async def _check_library(
    report: Report, connection: asyncpg.Connection, pgvector: bool
) -> LibraryState:
    size = await connection.fetchrow(SIZE)
    assert size is not None  # noqa: S101 -- it always returns a row
    if size["passages"]:
        report.ok(
            "library",
            f"{size['creators']:,} creators, {size['documents']:,} documents,"
            f" {size['passages']:,} passages",
        )
    else:
        report.warn("library", "empty", "Fill it: `python -m app ingest FOLDER`.")
    indexes = tuple(EmbeddingIndex(**row) for row in await connection.fetch(INDEXES))
    return LibraryState(pgvector, indexes, size["passages"])
