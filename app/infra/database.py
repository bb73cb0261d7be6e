"""Brings a database up to date: a connection and `schema.sql` in, the database's state out."""

import logging
import re
from importlib.resources import files
from typing import TypeAlias

import asyncpg
from msgspec import Struct

log = logging.getLogger(__name__)

# A connection of one's own, or one out of a pool.
Connection: TypeAlias = (
    "asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
)

# Any number that nothing else in the database locks.
LOCK_KEY = 0x63687279736F
# Seconds for one part; a pool's own time limit is meant for questions.
PART_LIMIT = 3600.0
MARK = re.compile(r"^-- migration (\d+): (.+)$", re.MULTILINE)

# $1 version, $2 title
RECORD = "INSERT INTO schema_migrations (version, title) VALUES ($1, $2)"
EXISTS = "SELECT to_regclass('schema_migrations') IS NOT NULL"
CREATE = """
    CREATE TABLE schema_migrations (
        version    integer PRIMARY KEY,
        title      text NOT NULL,
        applied_at timestamptz NOT NULL DEFAULT now()
    )
"""
# The first that has sparse vectors and searches a filtered index to the end.
PGVECTOR = (0, 8)
PGVECTOR_OFFERED = """
SELECT count(*) > 0 FROM pg_available_extension_versions
WHERE name = 'vector' AND string_to_array(version, '.')::integer[] >= ARRAY[0, 8]
"""
PGVECTOR_VERSION = "SELECT extversion FROM pg_extension WHERE extname = 'vector'"
LACKS_WEIGHTS = """
SELECT to_regclass('passages') IS NOT NULL AND NOT EXISTS (
    SELECT FROM pg_attribute
    WHERE attrelid = to_regclass('passages') AND attname = 'weights' AND NOT attisdropped)
"""


class MigrationError(Exception):
    """The database cannot be brought up to date; the message is one line that says why."""


class Part(Struct, frozen=True):
    """One numbered change of the schema."""

    version: int
    title: str
    sql: str


class DatabaseState(Struct, frozen=True):
    """The version of the schema, and of pgvector where the database has it (0.8 or newer)."""

    version: int
    pgvector: str | None


def parts(schema: str) -> tuple[Part, ...]:
    """Split a schema at its marks `-- migration N: title`; the versions must be 1, 2, 3 …."""
    marks = list(MARK.finditer(schema))
    ends = [mark.start() for mark in marks[1:]] + [len(schema)]
    found = tuple(
        Part(int(mark[1]), mark[2].strip(), schema[mark.end() : end].strip())
        for mark, end in zip(marks, ends, strict=True)
    )
    if [part.version for part in found] != list(range(1, len(found) + 1)):
        raise ValueError("the migrations of a schema must be numbered 1, 2, 3 … in order")
    return found


async def migrate(connection: Connection, schema: str | None = None) -> DatabaseState:
    """Apply the parts of the schema that the database lacks, each in a transaction of its own.

    Any number of processes may call this at once: each part runs once. The schema is the
    service's own where none is given. Raises MigrationError where a part fails, which leaves the
    parts before it, or where the database is newer than the schema.
    """
    if schema is None:
        schema = _read("schema.sql")
    wanted = parts(schema)
    while not await _apply_next(connection, wanted):
        pass
    return DatabaseState(len(wanted), await _ensure_pgvector(connection))


async def _apply_next(connection: Connection, wanted: tuple[Part, ...]) -> bool:
    """Apply the first part that is missing; True when none is.

    The lock lasts as long as the transaction, so a crash frees it and a connection pooler between
    us and the database does not matter.
    """
    async with connection.transaction():
        await _lock(connection)
        version = await _version(connection)
        if version > len(wanted):
            raise MigrationError(
                f"the database is at version {version} of the schema, and this release knows only"
                f" {len(wanted)}: run the newer release, or restore a backup made before it"
            )
        if version == len(wanted):
            return True
        part = wanted[version]
        try:
            await connection.execute(part.sql, timeout=PART_LIMIT)
            await connection.execute(RECORD, part.version, part.title)
        except asyncpg.PostgresError as error:
            raise MigrationError(
                f"migration {part.version} ({part.title}) failed and was undone: {error}"
            ) from error
    return False


async def _lock(connection: Connection) -> None:
    # A role may have a time limit for its statements; a long part, or the wait for one, is fine.
    await connection.execute("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0")
    await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK_KEY, timeout=PART_LIMIT)


async def _version(connection: Connection) -> int:
    """Return the last version that was applied, 0 in an empty database."""
    # Asked first: a role that may not create tables can still find that nothing is to be done.
    if not await connection.fetchval(EXISTS):
        await connection.execute(CREATE)
    version: int = await connection.fetchval(
        "SELECT coalesce(max(version), 0) FROM schema_migrations"
    )
    return version


async def _ensure_pgvector(connection: Connection) -> str | None:
    """Create the extension where the server has it, and what needs it; its version, or None."""
    try:
        async with connection.transaction():
            await _lock(connection)
            version: str | None = await connection.fetchval(PGVECTOR_VERSION)
            if version is None and await connection.fetchval(PGVECTOR_OFFERED):
                await connection.execute("CREATE EXTENSION vector")
                version = await connection.fetchval(PGVECTOR_VERSION)
            if version is None or _numbers(version) < PGVECTOR:
                return None
            if await connection.fetchval(LACKS_WEIGHTS):
                await connection.execute(_read("vectors.sql"), timeout=PART_LIMIT)
    except asyncpg.PostgresError as error:
        # Only search by meaning needs it, and it is often the administrator's to create.
        log.warning("pgvector cannot be used: %s", error)
        return None
    return version


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


def _read(name: str) -> str:
    return files("app.infra").joinpath(name).read_text(encoding="utf-8")
