"""The cost of chats and tokens by the number of open streams."""

import asyncio
from contextlib import AsyncExitStack
from time import monotonic

from tests.bench.client import Load
from tests.bench.figures import cpu
from tests.bench.measured import Figure
from tests.bench.observe import cpu_seconds
from tests.bench.script import Script
from tests.bench.stage import Stage
from tests.bench.subjects import NAMES, Subject, subject

# Open streams without tokens, and the paced chats beside them.
SIZES = (10, 200, 2_000)
AT_ONCE, OPENING = 40, 50
KIND = cpu.Kind(
    "crowd",
    "",
    Script(200, rate=50, streams=AT_ONCE),
    dict.fromkeys(NAMES, AT_ONCE),
    at_once=AT_ONCE,
)
# Seconds to measure a server with only the silent streams.
SILENCE = 5.0
# Streams with a token per second each, and the seconds to measure them.
PACED, RATE, LOOKED, BEFORE = (200, 2_000), 1, 10.0, 1.0


async def measure(stage: Stage, rounds: int) -> list[Figure]:
    """Run the same chats on new servers with more and more open streams. Raises Void."""
    chats, idle = ({size: dict[str, list[float]]() for size in SIZES} for _ in range(2))
    for size in SIZES:
        for name in stage.names:
            chats[size][name], idle[size][name] = await _beside(stage, name, size, rounds)
    paced = {
        size: {name: [await _paced(stage, name, size)] for name in stage.names} for size in PACED
    }
    titles = {
        "crowd": (chats, "CPU of a chat of 200 tokens beside {:,} silent streams, ms"),
        "silent": (idle, "CPU of {:,} silent streams alone, ms a second"),
        "slow": (paced, "CPU of a token, {:,} streams with one a second each, µs"),
    }
    return [
        Figure(f"{key}_{size}", title.format(size), values)
        for key, (sizes, title) in titles.items()
        for size, values in sizes.items()
    ]


async def _beside(
    stage: Stage, name: str, size: int, rounds: int
) -> tuple[list[float], list[float]]:
    """Return the costs of a chat and of the silent streams, in milliseconds."""
    load = Load(chats=size, tokens=2, at_once=size, opening=OPENING, hold=True)
    async with AsyncExitStack() as stack:
        server = await _warm(stage, name, stack)
        script = Script(2, streams=size, steps=True)
        await stack.enter_async_context(stage.held(server, script, load))
        idle = await _share(server, SILENCE)
        values: list[float] = []
        for _ in range(rounds):
            began = monotonic()
            spent = await cpu.chats(stage, server, KIND, AT_ONCE)
            values.append(spent - idle * (monotonic() - began) * 1_000 / AT_ONCE)
    return values, [idle * 1_000]


async def _paced(stage: Stage, name: str, size: int) -> float:
    """Return the cost of a token in microseconds."""
    tokens = int(RATE * (BEFORE + LOOKED + 2))
    load = Load(chats=size, tokens=tokens, at_once=size, opening=OPENING)
    async with AsyncExitStack() as stack:
        server = await _warm(stage, name, stack)
        script = Script(tokens, rate=RATE, streams=size)
        running = await stack.enter_async_context(stage.held(server, script, load))
        await stage.ticking()
        await asyncio.sleep(BEFORE)
        share = await _share(server, LOOKED)
        await stage.outcome(running)
    return share / size / RATE * 1e6


async def _share(server: Subject, seconds: float) -> float:
    """Return the share of a core that a server uses during this time."""
    before, began = cpu_seconds([server.pid]), monotonic()
    await asyncio.sleep(seconds)
    return (cpu_seconds([server.pid]) - before) / (monotonic() - began)


async def _warm(stage: Stage, name: str, stack: AsyncExitStack) -> Subject:
    server = await stack.enter_async_context(subject(name, stage.around))
    await cpu.chats(stage, server, cpu.KINDS["burst"], OPENING)
    return server
