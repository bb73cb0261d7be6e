"""The keys that a worker knows, while PostgreSQL answers, does not answer, or is away."""

import time

import asyncpg
import pytest

from app.errors import Unavailable
from app.services.access import active_keys
from app.services.access.active_keys import ActiveKeys
from tests.keys import MadeKey, make_key

pytestmark = pytest.mark.anyio

WITHOUT_ANSWER = "BEGIN; LOCK TABLE keys IN ACCESS EXCLUSIVE MODE"


@pytest.fixture
async def key(database_url: str) -> MadeKey:
    return await make_key(database_url)


async def test_known_keys_are_used_while_postgresql_does_not_answer(
    database_url: str, database: asyncpg.Connection, key: MadeKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(active_keys, "PATIENCE", 0.01)
    monkeypatch.setattr(active_keys, "MAX_AGE", 0.0)
    async with asyncpg.create_pool(database_url, min_size=1, max_size=1) as pool:
        keys = ActiveKeys(pool, timeout=60)
        assert await keys.find(key.id)
        await database.execute(WITHOUT_ANSWER)
        started = time.monotonic()
        for _ in range(3):
            assert await keys.find(key.id)
        assert time.monotonic() - started < 30
        await database.execute("ROLLBACK")


async def test_without_known_keys_the_caller_cannot_be_checked(
    database_url: str, database: asyncpg.Connection, key: MadeKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(active_keys, "MAX_AGE", 0.0)
    await database.execute(WITHOUT_ANSWER)
    async with asyncpg.create_pool(database_url, min_size=1, max_size=1) as pool:
        keys = ActiveKeys(pool, timeout=0.1)
        with pytest.raises(Unavailable):
            await keys.find(key.id)
        await database.execute("ROLLBACK")
        assert await keys.find(key.id)
