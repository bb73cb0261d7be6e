"""A pace comes in; two workers, a model, PostgreSQL and Valkey, all of a soak's own, go out."""

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from msgspec import Struct
from redis.asyncio import Redis

from app.cli.library import open_library
from app.cli.sample_library import update_sample_library
from app.config import Settings
from app.infra.embedded import servers
from tests.soak.question import Scene
from tests.soak.turns import Tally
from tests.soak.workers import Workers, free_ports
from tests.workers import PROJECT

# The workers' settings, in seconds: short, so that every effect comes within the run.
GRACE, REPLAY, LEASE, DRAIN_TIME, MEMORY_TTL, HEARTBEAT = 5, 20, 2, 10, 20, 5
# What the first of them is as a setting of the service, and the others.
SETTINGS = {
    "TURN_GRACE": GRACE,
    "TURN_REPLAY": REPLAY,
    "TURN_LEASE": LEASE,
    "DRAIN_TIME": DRAIN_TIME,
    "MEMORY_TTL": MEMORY_TTL,
    "HEARTBEAT": HEARTBEAT,
}


class Stage(Struct, frozen=True):
    """What a soak runs on: clients' scene, Redis, the model's address, processes by name."""

    scene: Scene
    redis: Redis
    model: str
    processes: dict[str, int]


@asynccontextmanager
async def staged(rate: float) -> AsyncIterator[Stage]:
    """Start everything, the sample library ingested, and end it all at last.

    `rate` is how many tokens a second the model says to each who asks.
    """
    # A connection of its own for each request, so that a hang-up is seen at once.
    connector = aiohttp.TCPConnector(force_close=True, limit=0)
    timeout = aiohttp.ClientTimeout(total=None)
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        async with (
            servers(Path(folder)) as backing,
            paced_model(rate) as (model, model_pid),
            aiohttp.ClientSession(connector=connector, timeout=timeout) as http,
        ):
            environment = {
                "DATABASE_URL": backing.database_url or "",
                "REDIS_URL": backing.redis_url or "",
                "LLM_BASE_URL": f"{model}/v1",
                "LLM_MODEL": "paced",
                "LOG_FORMAT": "text",
                "LOG_LEVEL": "warning",
                **{name: str(value) for name, value in SETTINGS.items()},
            }
            async with open_library(Settings.from_environment(environment)) as library:
                await update_sample_library(library)
            workers = Workers(http, Path(folder), environment, free_ports(2))
            redis = Redis.from_url(backing.redis_url or "")
            try:
                await workers.start()
                valkey = (await redis.info("server"))["process_id"]
                scene = Scene(http, workers, Tally(), rate, GRACE)
                processes = {"model": model_pid, "Valkey": valkey}
                yield Stage(scene, redis, model, processes)
            finally:
                await workers.close()
                await redis.aclose()


@asynccontextmanager
async def paced_model(rate: float) -> AsyncIterator[tuple[str, int]]:
    """Run the paced model in a process of its own; yields its address and its process."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.soak.model", str(rate)),
        cwd=PROJECT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout
    try:
        yield (await process.stdout.readline()).decode().strip(), process.pid
    finally:
        process.kill()
        await process.wait()
