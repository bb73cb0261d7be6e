"""Commands and transactions that chats cost Redis and PostgreSQL."""

import asyncio
from contextlib import AsyncExitStack

import asyncpg
from msgspec import Struct
from redis.asyncio import Redis

from tests.bench.client import Load
from tests.bench.figures import cpu
from tests.bench.measured import Figure
from tests.bench.observe import cpu_seconds
from tests.bench.script import Script
from tests.bench.stage import Stage
from tests.bench.subjects import Subject, subject

# A thousand chats of 200 tokens at 50 tokens per second, and the concurrent streams.
STREAMS, TIMES, TOKENS, RATE = 100, 10, 200, 50
# Seconds until PostgreSQL's statistics are up to date.
SETTLED = 2.0
PROCESSES = "SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
DONE = """
SELECT xact_commit AS transactions, blks_hit + blks_read AS pages
FROM pg_stat_database WHERE datname = current_database()
"""
# The commands that are listed separately.
MAX_TOLD = 8


class Taken(Struct):
    """The servers' counters at one moment."""

    commands: dict[str, int]
    redis: dict[str, float]
    postgres: dict[str, float]


async def measure(stage: Stage) -> list[Figure]:
    """Run a thousand chats and read the servers' counters. Raises Void."""
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(Redis.from_url(stage.around.redis_url))
        database = await asyncpg.connect(stage.around.database_url)
        stack.push_async_callback(database.close)
        server = await stack.enter_async_context(subject("service", stage.around))
        await cpu.chats(stage, server, cpu.KINDS["burst"], STREAMS)
        before = await _taken(redis, database)
        await _chats(stage, server)
        after = await _taken(redis, database)
    chats = STREAMS * TIMES
    commands = {
        name: (count - before.commands.get(name, 0)) / chats
        for name, count in after.commands.items()
    }
    most = sorted(commands.items(), key=lambda one: -one[1])[:MAX_TOLD]
    note = ", ".join(f"{name} {count:.3g}" for name, count in most)
    asked = _one(sum(commands.values()))
    figures = [Figure("redis_commands", "Redis: commands a chat", asked, note=note)]
    for key, old, new in (
        ("Redis", before.redis, after.redis),
        ("PostgreSQL", before.postgres, after.postgres),
    ):
        for title, value in new.items():
            figures.append(
                Figure(
                    f"{key}_{title}".lower().replace(" ", "_"),
                    f"{key}: {title} a chat",
                    _one((value - old[title]) / chats),
                )
            )
    return figures


def _one(value: float) -> dict[str, list[float]]:
    return {"service": [value]}


async def _chats(stage: Stage, server: Subject) -> None:
    load = Load(chats=STREAMS, tokens=TOKENS, at_once=STREAMS, opening=cpu.MAX_OPENING)
    for _ in range(TIMES):
        await stage.load(server, Script(TOKENS, rate=RATE, streams=STREAMS), load)


async def _taken(redis: Redis, database: asyncpg.Connection) -> Taken:
    await asyncio.sleep(SETTLED)
    told = await redis.info("commandstats")
    commands = {name.removeprefix("cmdstat_"): int(one["calls"]) for name, one in told.items()}
    everything = await redis.info("everything")
    pids = [row["pid"] for row in await database.fetch(PROCESSES)]
    (done,) = await database.fetch(DONE)
    return Taken(
        commands,
        {
            "KiB in": everything["total_net_input_bytes"] / 1024,
            "KiB out": everything["total_net_output_bytes"] / 1024,
            "KiB held after": everything["used_memory"] / 1024,
            "CPU ms": cpu_seconds([everything["process_id"]]) * 1_000,
        },
        {
            "transactions": float(done["transactions"]),
            "pages looked at": float(done["pages"]),
            "CPU ms": cpu_seconds(pids) * 1_000,
        },
    )
