"""Counts the questions of each key, and writes the counts to PostgreSQL in batches."""

import asyncio
import logging
from collections import Counter

import anyio
import asyncpg

from app.infra.database import Pool
from app.infra.database_errors import describe
from app.services.access.audit import AuditLog

log = logging.getLogger(__name__)

# Seconds between two writes, and for one write.
WRITE_EVERY, WRITE_TIMEOUT = 5.0, 5.0

# $1 ids of keys. Returns those that are used for the first time, once over all workers.
FIRST_USE = """
UPDATE keys SET first_used_at = now()
WHERE id = ANY($1) AND first_used_at IS NULL
RETURNING id, name
"""
# $1 ids of keys, in order so that workers wait for each other instead of blocking each other
LAST_USE = """
UPDATE keys SET last_used_at = now()
FROM (SELECT id FROM keys WHERE id = ANY($1) ORDER BY id FOR UPDATE) used
WHERE keys.id = used.id
"""
# $1 ids of keys, $2 their questions
COUNT = """
INSERT INTO key_usage (key_id, day, questions)
SELECT id, (now() AT TIME ZONE 'UTC')::date, questions
FROM unnest($1::text[], $2::bigint[]) AS used (id, questions)
WHERE questions > 0
ORDER BY id
ON CONFLICT (key_id, day) DO UPDATE SET questions = key_usage.questions + excluded.questions
"""


class KeyUsage:
    """Records when keys are used, and for how many questions."""

    def __init__(self, pool: Pool, audit: AuditLog) -> None:
        self._pool = pool
        self._audit = audit
        self._questions: Counter[str] = Counter()
        self._used = asyncio.Event()

    def add(self, key_id: str, questions: int) -> None:
        """Record that a key was used."""
        self._questions[key_id] += questions
        self._used.set()

    async def run(self) -> None:
        """Write what was used every few seconds, and a last time when cancelled."""
        try:
            while True:
                await self._used.wait()
                await asyncio.sleep(WRITE_EVERY)
                await self._write()
        finally:
            if self._questions:
                await self._write()

    async def _write(self) -> None:
        self._used.clear()
        counted, self._questions = self._questions, Counter()
        try:
            # A shutdown waits for it.
            with anyio.CancelScope(shield=True):
                async with asyncio.timeout(WRITE_TIMEOUT):
                    first = await self._store(counted)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
            log.warning("usage of keys not written, trying again: %s", describe(error))
            # Not `update`, which would drop keys that were used without a question.
            for key_id, questions in counted.items():
                self.add(key_id, questions)
            return
        for row in first:
            self._audit.record("key_first_used", key=row["id"], name=row["name"])

    async def _store(self, counted: Counter[str]) -> list[asyncpg.Record]:
        """Write the counts, and return the keys that are used for the first time."""
        ids = sorted(counted)
        async with self._pool.acquire() as connection, connection.transaction():
            first = await connection.fetch(FIRST_USE, ids)
            await connection.execute(LAST_USE, ids)
            await connection.execute(COUNT, ids, [counted[key_id] for key_id in ids])
        return first
