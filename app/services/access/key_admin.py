"""Make, list and revoke keys in PostgreSQL."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import asyncpg
from msgspec import Struct

from app.infra.database import Connection
from app.services.access.audit import AuditLog
from app.services.access.caller import Quota
from app.services.access.keys import KeyKind, NewKeyText, new_key_text, secret_digest

# $1 id, $2 name, $3 kind, $4 digest, $5 origins, $6 creators, $7 to $10 limits, $11 lifetime
INSERT = """
INSERT INTO keys (id, name, kind, digest, origins, creators,
                  per_minute, per_day, at_once, tokens_per_day, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, now() + $11::interval)
"""
# $1 slugs
UNKNOWN_CREATORS = """
SELECT slug FROM unnest($1::text[]) AS slug WHERE slug NOT IN (SELECT slug FROM creators)
"""
LIST = """
SELECT id, name, kind, origins, creators, per_minute, per_day, at_once, tokens_per_day,
       created_at, expires_at, revoked_at, last_used_at,
       coalesce(sum(questions) FILTER (WHERE day = (now() AT TIME ZONE 'UTC')::date), 0)::bigint
           AS questions_today,
       coalesce(sum(questions), 0)::bigint AS questions
FROM keys LEFT JOIN key_usage ON key_id = id
GROUP BY id
ORDER BY revoked_at IS NOT NULL, name, created_at
"""
# $1 id or name
REVOKE = """
UPDATE keys SET revoked_at = now()
WHERE revoked_at IS NULL AND (id = $1 OR name = $1)
RETURNING id, name
"""


class NameTaken(Exception):
    """Another active key has the name."""


class KeySpec(Struct, frozen=True):
    """What a new key is to allow."""

    name: str
    kind: KeyKind
    origins: tuple[str, ...] = ()
    creators: tuple[str, ...] | None = None
    quota: Quota = Quota()
    lifetime: timedelta | None = None


class KeyEntry(Struct, frozen=True):
    """A key with its usage."""

    id: str
    name: str
    kind: KeyKind
    origins: tuple[str, ...]
    creators: tuple[str, ...] | None
    per_minute: int | None
    per_day: int | None
    at_once: int | None
    tokens_per_day: int | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    questions_today: int
    questions: int


async def create_key(connection: Connection, spec: KeySpec, audit: AuditLog) -> NewKeyText:
    """Make a key; its text is not stored. Raises NameTaken."""
    new, quota = new_key_text(spec.kind), spec.quota
    try:
        await connection.execute(
            INSERT,
            *(new.id, spec.name, spec.kind, secret_digest(new.secret), spec.origins, spec.creators),
            *(quota.per_minute, quota.per_day, quota.at_once, quota.tokens_per_day),
            spec.lifetime,
        )
    except asyncpg.UniqueViolationError:
        raise NameTaken from None
    audit.record("key_created", key=new.id, name=spec.name, kind=spec.kind)
    return new


async def unknown_creators(connection: Connection, slugs: Sequence[str]) -> list[str]:
    """Return the slugs that the library does not have."""
    return [row["slug"] for row in await connection.fetch(UNKNOWN_CREATORS, slugs)]


async def list_keys(connection: Connection) -> list[KeyEntry]:
    """Return all keys, the active ones first."""
    return [KeyEntry(**row) for row in await connection.fetch(LIST)]


async def revoke_key(connection: Connection, given: str, audit: AuditLog) -> str | None:
    """Revoke the active key with this id or name; returns its id, None if there is none."""
    row = await connection.fetchrow(REVOKE, given)
    if row is None:
        return None
    audit.record("key_revoked", key=row["id"], name=row["name"])
    return str(row["id"])
