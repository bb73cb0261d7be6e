"""Roles of the embedded PostgreSQL: its superuser, and the service's own, which is not one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

# The superuser, and the service's database; both have always had this name.
SUPERUSER = DATABASE = "chrysopedia"
# CREATEDB is for the scratch databases of `eval`.
ROLE = "chat"

# $1 a role
HAS_ROLE = "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)"
CREATE_ROLE = f"CREATE ROLE {ROLE} LOGIN CREATEDB"
# $1 a database
OWNER = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = $1"
CREATE_DATABASE = f"CREATE DATABASE {DATABASE} OWNER {ROLE}"
# Only a superuser may create it. The template passes it on to new databases.
HAS_PGVECTOR = "SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'vector')"
CREATE_PGVECTOR = "CREATE EXTENSION IF NOT EXISTS vector"
# REASSIGN OWNED is not possible for the superuser that initdb made.
OBJECTS = """
WITH objects AS (
    SELECT 'pg_class'::regclass AS catalog, oid, 'TABLE ' || oid::regclass AS object
    FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
    UNION ALL
    SELECT 'pg_proc'::regclass, oid, 'FUNCTION ' || oid::regprocedure
    FROM pg_proc WHERE pronamespace = 'public'::regnamespace
)
SELECT object FROM objects
WHERE NOT EXISTS (
    SELECT FROM pg_depend WHERE classid = catalog AND objid = oid AND deptype = 'e')
"""


async def ensure_database(url: str) -> None:
    """Create the role and its database; `url` is the superuser's.

    A database of an earlier release, which belongs to the superuser, is given to the role.
    """
    async with _connected(url, "postgres") as connection:
        owner = await connection.fetchval(OWNER, DATABASE)
        if owner == ROLE:
            return
        if not await connection.fetchval(HAS_ROLE, ROLE):
            await connection.execute(CREATE_ROLE)
        async with _connected(url, "template1") as template:
            await _create_pgvector(template)
        if owner is None:
            await connection.execute(CREATE_DATABASE)
            return
    async with _connected(url, DATABASE) as connection, connection.transaction():
        await _create_pgvector(connection)
        for row in await connection.fetch(OBJECTS):
            await connection.execute(f"ALTER {row['object']} OWNER TO {ROLE}")
        await connection.execute(f"ALTER DATABASE {DATABASE} OWNER TO {ROLE}")


async def _create_pgvector(connection: asyncpg.Connection) -> None:
    if await connection.fetchval(HAS_PGVECTOR):
        await connection.execute(CREATE_PGVECTOR)


@asynccontextmanager
async def _connected(url: str, database: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url, database=database)
    try:
        yield connection
    finally:
        await connection.close()
