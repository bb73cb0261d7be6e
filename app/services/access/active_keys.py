"""The keys that are neither revoked nor expired, read from PostgreSQL while requests need them."""

import asyncio
import logging
import time
from math import inf

import asyncpg

from app.errors import Unavailable
from app.infra.database import Pool
from app.infra.database_errors import describe
from app.services.access.caller import Quota
from app.services.access.keys import Key

log = logging.getLogger(__name__)

# Seconds for which the keys are not read again. Less for a key that is not among them, since it
# may have just been made.
MAX_AGE, MAX_AGE_UNKNOWN = 3.0, 0.5
# Seconds that a request waits for keys that are read while it has earlier ones.
PATIENCE = 0.5
# Seconds for which they are used while PostgreSQL is away.
MAX_AGE_IN_OUTAGE = 300.0

LOAD = """
SELECT id, name, kind, digest, origins, creators, per_minute, per_day, at_once, tokens_per_day,
       extract(epoch FROM expires_at)::double precision AS expires_at
FROM keys
WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
"""


class ActiveKeys:
    """Finds active keys. `timeout` is that of PostgreSQL in seconds."""

    def __init__(self, pool: Pool, *, timeout: float) -> None:
        self._pool = pool
        self._timeout = timeout
        self._keys: dict[str, Key] = {}
        self._origins: frozenset[str] = frozenset()
        self._loaded_at = self._tried_at = -inf
        self._loading: asyncio.Task[None] | None = None

    async def find(self, key_id: str) -> Key | None:
        """Return a key if it is active; raises Unavailable."""
        await self._refresh(MAX_AGE)
        if key_id not in self._keys:
            await self._refresh(MAX_AGE_UNKNOWN)
        key = self._keys.get(key_id)
        return key if key and key.expires_at > time.time() else None

    async def origins(self) -> frozenset[str]:
        """Return the origins of all keys; raises Unavailable."""
        await self._refresh(MAX_AGE)
        return self._origins

    async def _refresh(self, max_age: float) -> None:
        if self._loading is None and time.monotonic() > self._tried_at + max_age:
            self._loading = asyncio.create_task(self._load())
        if self._loading is not None:
            await asyncio.wait([self._loading], timeout=PATIENCE if self._usable else None)
        if not self._usable:
            raise Unavailable("Keys cannot be checked at the moment. Try again in a few seconds.")

    @property
    def _usable(self) -> bool:
        return time.monotonic() < self._loaded_at + MAX_AGE_IN_OUTAGE

    async def _load(self) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                rows = await self._pool.fetch(LOAD)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
            log.warning("keys not read: %s", describe(error))
        else:
            keys = [_key(row) for row in rows]
            self._keys = {key.id: key for key in keys}
            self._origins = frozenset().union(*(key.origins for key in keys))
            self._loaded_at = time.monotonic()
        finally:
            self._tried_at = time.monotonic()
            self._loading = None


def _key(row: asyncpg.Record) -> Key:
    creators, expires_at = row["creators"], row["expires_at"]
    return Key(
        id=row["id"],
        name=row["name"],
        kind=row["kind"],
        digest=row["digest"],
        origins=frozenset(row["origins"]),
        creators=None if creators is None else tuple(creators),
        quota=Quota(row["per_minute"], row["per_day"], row["at_once"], row["tokens_per_day"]),
        expires_at=inf if expires_at is None else expires_at,
    )
