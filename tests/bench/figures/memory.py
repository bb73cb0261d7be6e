"""Memory per stream."""

import asyncio
from contextlib import AsyncExitStack

from tests.bench.client import Load
from tests.bench.measured import Figure
from tests.bench.observe import own_memory
from tests.bench.script import Script
from tests.bench.stage import Stage, Void
from tests.bench.subjects import Subject, subject

SIZES = (1_000, 5_000)
# The second token ends all streams, after their memory has been measured.
TOKENS, OPENING, WARM_UP = 2, 50, 200
# Seconds from the end of the last stream until memory is measured again.
AFTERWARDS = 3


async def measure(stage: Stage, sizes: tuple[int, ...] = SIZES) -> list[Figure]:
    """Open these numbers of streams on new but warm servers. Raises Void."""
    kib = {size: {name: list[float]() for name in stage.names} for size in sizes}
    kept = {name: list[float]() for name in stage.names}
    for name in stage.names:
        async with AsyncExitStack() as stack:
            server = await _warm(stage, name, stack)
            before = own_memory(server.pid)
            for size in sizes:
                taken = await _open(stage, server, size) - before
                kib[size][name].append(taken / 1024 / size)
            await asyncio.sleep(AFTERWARDS)
            kept[name].append((own_memory(server.pid) - before) / 2**20)
    return [
        *(
            Figure(f"kib_{size}", f"KiB a stream at {size:,} open", values)
            for size, values in kib.items()
        ),
        Figure("kept_mib", "MiB kept when all have ended", kept),
    ]


async def again(stage: Stage) -> list[Figure]:
    """Open the most streams twice, and measure the memory that remains each time. Raises Void."""
    kept = {time: {name: list[float]() for name in stage.names} for time in (1, 2)}
    for name in stage.names:
        async with AsyncExitStack() as stack:
            server = await _warm(stage, name, stack)
            before = own_memory(server.pid)
            for values in kept.values():
                await _open(stage, server, SIZES[-1])
                await asyncio.sleep(AFTERWARDS)
                values[name].append((own_memory(server.pid) - before) / 2**20)
    return [
        Figure(f"kept_mib_{time}", f"MiB kept when {SIZES[-1]:,} streams ended {told}", values)
        for (time, values), told in zip(kept.items(), ("once", "twice"), strict=True)
    ]


async def _warm(stage: Stage, name: str, stack: AsyncExitStack) -> Subject:
    server = await stack.enter_async_context(subject(name, stage.around))
    load = Load(chats=WARM_UP, tokens=10, at_once=OPENING, opening=OPENING)
    await stage.load(server, Script(10), load)
    return server


async def _open(stage: Stage, server: Subject, streams: int) -> int:
    """Return a server's memory with this number of open streams, in bytes.

    Each has received its first token, and receives its last and `done` afterwards. Raises Void.
    """
    load = Load(chats=streams, tokens=TOKENS, at_once=streams, opening=OPENING, hold=True)
    script = Script(TOKENS, streams=streams, steps=True)
    async with stage.held(server, script, load) as running:
        taken = own_memory(server.pid)
        outcome = await stage.outcome(running)
        if (outcome.chats, outcome.tokens) != (streams, streams * TOKENS):
            raise Void(f"{outcome.chats} of {streams} streams, {outcome.tokens} tokens")
    return taken
