"""The environment of a soak test: two workers, a model, PostgreSQL and Valkey."""

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from msgspec import Struct
from redis.asyncio import Redis

from app.cli.library import open_library
from app.cli.sample_library import update_sample_library
from app.config import Settings
from app.infra.embedded import servers
from tests.servers import free_ports
from tests.soak.question import ClientContext
from tests.soak.turns import Tally
from tests.soak.workers import Workers
from tests.workers import PROJECT

# The workers' settings, in seconds; short, so that all timeouts occur during the run.
GRACE, REPLAY, LEASE, DRAIN_TIME, MEMORY_TTL, HEARTBEAT = 5, 20, 2, 10, 20, 5
SETTINGS: Mapping[str, float] = {
    "TURN_GRACE": GRACE,
    "TURN_REPLAY": REPLAY,
    "TURN_LEASE": LEASE,
    "DRAIN_TIME": DRAIN_TIME,
    "MEMORY_TTL": MEMORY_TTL,
    "HEARTBEAT": HEARTBEAT,
    # All viewers have one address.
    "MAX_CONNECTIONS_PER_ADDRESS": 0,
    "RATE_LIMIT": 0,
    "TURNS_AT_ONCE": 0,
}
MODEL = "tests.soak.model"


class Environment(Struct, frozen=True):
    """The running environment.

    `model` and `database_url` are URLs, `processes` maps names to process ids.
    """

    context: ClientContext
    redis: Redis
    model: str
    processes: dict[str, int]
    database_url: str


@asynccontextmanager
async def soak_environment(
    rate: float, settings: Mapping[str, float] = SETTINGS, model: str = MODEL
) -> AsyncIterator[Environment]:
    """Run the environment, with the sample library.

    The model, a module, sends `rate` tokens a second; `settings` are the workers'.
    """
    # One connection per request, so that the server notices a disconnect at once.
    connector = aiohttp.TCPConnector(force_close=True, limit=0)
    timeout = aiohttp.ClientTimeout(total=None)
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        async with (
            servers(Path(folder)) as backing,
            paced_model(rate, model) as (model_url, model_pid),
            aiohttp.ClientSession(connector=connector, timeout=timeout) as http,
        ):
            environment = {
                "DATABASE_URL": backing.database_url or "",
                "REDIS_URL": backing.redis_url or "",
                "LLM_BASE_URL": f"{model_url}/v1",
                "LLM_MODEL": "paced",
                "LOG_FORMAT": "text",
                "LOG_LEVEL": "warning",
                **{name: str(value) for name, value in settings.items()},
            }
            async with open_library(Settings.from_environment(environment)) as library:
                await update_sample_library(library)
            workers = Workers(http, Path(folder), environment, free_ports(2))
            redis = Redis.from_url(backing.redis_url or "")
            try:
                await workers.start()
                valkey = (await redis.info("server"))["process_id"]
                context = ClientContext(http, workers, Tally(), rate, GRACE)
                processes = {"model": model_pid, "Valkey": valkey}
                database = environment["DATABASE_URL"]
                yield Environment(context, redis, model_url, processes, database)
            finally:
                await workers.close()
                await redis.aclose()


@asynccontextmanager
async def paced_model(rate: float, module: str = MODEL) -> AsyncIterator[tuple[str, int]]:
    """Run a paced model in its own process; yield its URL and process id."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, str(rate)),
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
