"""CPU per chat and per token by the number of open streams."""

import asyncio
from contextlib import AsyncExitStack
from time import monotonic

from tests.bench.client import Load
from tests.bench.figures import cpu
from tests.bench.harness import Harness
from tests.bench.observe import cpu_seconds
from tests.bench.results import Figure
from tests.bench.script import Script
from tests.bench.subjects import NAMES, Subject, subject

# Idle streams, and the paced chats that run beside them.
SIZES = (10, 200, 2_000)
AT_ONCE, OPENING = 40, 50
KIND = cpu.Kind(
    "concurrency",
    "",
    Script(200, rate=50, streams=AT_ONCE),
    dict.fromkeys(NAMES, AT_ONCE),
    at_once=AT_ONCE,
)
# Seconds to measure the idle streams alone.
IDLE_SECONDS = 5.0
# Streams with one token a second each; seconds to measure them, after some seconds of settling.
PACED, RATE, PACED_SECONDS, SETTLING = (200, 2_000), 1, 10.0, 1.0


async def measure(harness: Harness, rounds: int) -> list[Figure]:
    """Measure each number of streams in a new server. Raises InvalidRun."""
    chats, idle = ({size: dict[str, list[float]]() for size in SIZES} for _ in range(2))
    for size in SIZES:
        for name in harness.names:
            chats[size][name], idle[size][name] = await _beside(harness, name, size, rounds)
    paced = {
        size: {name: [await _paced(harness, name, size)] for name in harness.names}
        for size in PACED
    }
    titles = {
        "concurrency": (chats, "CPU per chat of 200 tokens, beside {:,} idle streams, ms"),
        "idle": (idle, "CPU of {:,} idle streams, ms per second"),
        "slow": (paced, "CPU per token, {:,} streams at 1 token a second, µs"),
    }
    return [
        Figure(f"{key}_{size}", title.format(size), values)
        for key, (sizes, title) in titles.items()
        for size, values in sizes.items()
    ]


async def _beside(
    harness: Harness, name: str, size: int, rounds: int
) -> tuple[list[float], list[float]]:
    """Return CPU per chat in ms, less that of the idle streams; and the latter in ms per second."""
    load = Load(chats=size, tokens=2, at_once=size, opening=OPENING, hold=True)
    async with AsyncExitStack() as stack:
        server = await _warm(harness, name, stack)
        script = Script(2, streams=size, steps=True)
        await stack.enter_async_context(harness.open_load(server, script, load))
        idle = await _cores(server, IDLE_SECONDS)
        values: list[float] = []
        for _ in range(rounds):
            started = monotonic()
            spent = await cpu.cpu_per_chat(harness, server, KIND, AT_ONCE)
            values.append(spent - idle * (monotonic() - started) * 1_000 / AT_ONCE)
    return values, [idle * 1_000]


async def _paced(harness: Harness, name: str, size: int) -> float:
    """Return the CPU time per token, in microseconds."""
    tokens = int(RATE * (SETTLING + PACED_SECONDS + 2))
    load = Load(chats=size, tokens=tokens, at_once=size, opening=OPENING)
    async with AsyncExitStack() as stack:
        server = await _warm(harness, name, stack)
        script = Script(tokens, rate=RATE, streams=size)
        running = await stack.enter_async_context(harness.open_load(server, script, load))
        await harness.wait_for_ticks()
        await asyncio.sleep(SETTLING)
        cores = await _cores(server, PACED_SECONDS)
        await harness.finish_load(running)
    return cores / size / RATE * 1e6


async def _cores(server: Subject, seconds: float) -> float:
    """Return how many cores a server uses, on average over `seconds`."""
    before, started = cpu_seconds([server.pid]), monotonic()
    await asyncio.sleep(seconds)
    return (cpu_seconds([server.pid]) - before) / (monotonic() - started)


async def _warm(harness: Harness, name: str, stack: AsyncExitStack) -> Subject:
    server = await stack.enter_async_context(subject(name, harness.environment))
    await cpu.cpu_per_chat(harness, server, cpu.KINDS["burst"], OPENING)
    return server
