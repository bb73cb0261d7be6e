"""Ingestions that run at the same time."""

from pathlib import Path

import anyio
import asyncpg
import pytest

from app.services.ingest.lock import LOCK, LOCK_KEY, UNLOCK
from app.services.ingest.progress import Progress
from tests.services.ingest.libraries import ingest, titles

pytestmark = pytest.mark.anyio


async def test_ingestion_waits_for_a_running_one(
    database: asyncpg.Connection, database_url: str, folder: Path
) -> None:
    other = await asyncpg.connect(database_url)
    await other.execute(LOCK, LOCK_KEY)
    waiting = anyio.Event()
    stages: list[str] = []

    def on_progress(progress: Progress) -> None:
        stages.append(progress.stage)
        if progress.stage == "waiting":
            waiting.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: ingest(database, folder, on_progress=on_progress))
        await waiting.wait()
        assert await other.fetchval("SELECT count(*) FROM libraries") == 0
        await other.execute(UNLOCK, LOCK_KEY)
    await other.close()

    assert stages[0] == "waiting"
    assert len(await titles(database)) == 3
