"""The load that chats put on Redis and PostgreSQL."""

import asyncio
from contextlib import AsyncExitStack

import asyncpg
from msgspec import Struct
from redis.asyncio import Redis

from tests.bench.client import Load
from tests.bench.figures import cpu
from tests.bench.harness import Harness
from tests.bench.observe import cpu_seconds
from tests.bench.results import Figure
from tests.bench.script import Script
from tests.bench.subjects import Subject, subject

# A thousand chats of 200 tokens: ten rounds of 100 streams, at 50 tokens a second each.
STREAMS, ROUNDS, TOKENS, RATE = 100, 10, 200, 50
# Seconds until PostgreSQL's statistics include the latest queries.
STATISTICS_DELAY = 2.0
PROCESSES = "SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
TRANSACTIONS = """
SELECT xact_commit AS transactions, blks_hit + blks_read AS pages
FROM pg_stat_database WHERE datname = current_database()
"""
# The most frequent commands, which are listed one by one.
MAX_LISTED = 8


class Counters(Struct):
    """Counters of both servers at one time."""

    commands: dict[str, int]
    redis: dict[str, float]
    postgres: dict[str, float]


async def measure(harness: Harness) -> list[Figure]:
    """Compare the servers' counters before and after the chats. Raises InvalidRun."""
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(Redis.from_url(harness.environment.redis_url))
        database = await asyncpg.connect(harness.environment.database_url)
        stack.push_async_callback(database.close)
        server = await stack.enter_async_context(subject("service", harness.environment))
        await cpu.cpu_per_chat(harness, server, cpu.KINDS["burst"], STREAMS)
        before = await _counters(redis, database)
        await _chats(harness, server)
        after = await _counters(redis, database)
    chats = STREAMS * ROUNDS
    commands = {
        name: (count - before.commands.get(name, 0)) / chats
        for name, count in after.commands.items()
    }
    most = sorted(commands.items(), key=lambda one: -one[1])[:MAX_LISTED]
    note = ", ".join(f"{name} {count:.3g}" for name, count in most)
    total = {"service": [sum(commands.values())]}
    figures = [Figure("redis_commands", "Redis: commands per chat", total, note=note)]
    for server_name, old, new in (
        ("Redis", before.redis, after.redis),
        ("PostgreSQL", before.postgres, after.postgres),
    ):
        for title, value in new.items():
            figures.append(
                Figure(
                    f"{server_name}_{title}".lower().replace(" ", "_"),
                    f"{server_name}: {title} per chat",
                    {"service": [(value - old[title]) / chats]},
                )
            )
    return figures


async def _chats(harness: Harness, server: Subject) -> None:
    load = Load(chats=STREAMS, tokens=TOKENS, at_once=STREAMS, opening=cpu.MAX_OPENING)
    for _ in range(ROUNDS):
        await harness.run_load(server, Script(TOKENS, rate=RATE, streams=STREAMS), load)


async def _counters(redis: Redis, database: asyncpg.Connection) -> Counters:
    await asyncio.sleep(STATISTICS_DELAY)
    stats = await redis.info("commandstats")
    commands = {name.removeprefix("cmdstat_"): int(one["calls"]) for name, one in stats.items()}
    info = await redis.info("everything")
    pids = [row["pid"] for row in await database.fetch(PROCESSES)]
    (row,) = await database.fetch(TRANSACTIONS)
    return Counters(
        commands,
        {
            "KiB in": info["total_net_input_bytes"] / 1024,
            "KiB out": info["total_net_output_bytes"] / 1024,
            "KiB held afterwards": info["used_memory"] / 1024,
            "CPU ms": cpu_seconds([info["process_id"]]) * 1_000,
        },
        {
            "transactions": float(row["transactions"]),
            "pages read": float(row["pages"]),
            "CPU ms": cpu_seconds(pids) * 1_000,
        },
    )
