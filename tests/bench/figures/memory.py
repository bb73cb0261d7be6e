"""Memory per open stream, and memory retained afterwards."""

import asyncio
from contextlib import AsyncExitStack

from tests.bench.client import Load
from tests.bench.harness import Harness, InvalidRun
from tests.bench.observe import anonymous_memory
from tests.bench.results import Figure
from tests.bench.script import Script
from tests.bench.subjects import Subject, subject

SIZES = (1_000, 5_000)
# The second token ends the streams, after memory has been measured.
TOKENS, OPENING, WARM_UP = 2, 50, 200
# Seconds from the last stream's end until memory is measured again.
SETTLING = 3


async def measure(harness: Harness, sizes: tuple[int, ...] = SIZES) -> list[Figure]:
    """Open `sizes` streams in a new, warmed-up server. Raises InvalidRun."""
    kib = {size: {name: list[float]() for name in harness.names} for size in sizes}
    retained = {name: list[float]() for name in harness.names}
    for name in harness.names:
        async with AsyncExitStack() as stack:
            server = await _warm(harness, name, stack)
            before = anonymous_memory(server.pid)
            for size in sizes:
                used = await _open(harness, server, size) - before
                kib[size][name].append(used / 1024 / size)
            await asyncio.sleep(SETTLING)
            retained[name].append((anonymous_memory(server.pid) - before) / 2**20)
    return [
        *(
            Figure(f"kib_{size}", f"KiB per stream, {size:,} open", values)
            for size, values in kib.items()
        ),
        Figure("kept_mib", "MiB retained after all streams ended", retained),
    ]


async def measure_reuse(harness: Harness) -> list[Figure]:
    """Open `SIZES[-1]` streams twice; streams should reuse memory. Raises InvalidRun."""
    retained = {run: {name: list[float]() for name in harness.names} for run in (1, 2)}
    for name in harness.names:
        async with AsyncExitStack() as stack:
            server = await _warm(harness, name, stack)
            before = anonymous_memory(server.pid)
            for values in retained.values():
                await _open(harness, server, SIZES[-1])
                await asyncio.sleep(SETTLING)
                values[name].append((anonymous_memory(server.pid) - before) / 2**20)
    return [
        Figure(f"kept_mib_{run}", f"MiB retained after {SIZES[-1]:,} streams, run {run}", values)
        for run, values in retained.items()
    ]


async def _warm(harness: Harness, name: str, stack: AsyncExitStack) -> Subject:
    server = await stack.enter_async_context(subject(name, harness.environment))
    load = Load(chats=WARM_UP, tokens=10, at_once=OPENING, opening=OPENING)
    await harness.run_load(server, Script(10), load)
    return server


async def _open(harness: Harness, server: Subject, streams: int) -> int:
    """Return a server's memory with `streams` streams open, in bytes.

    Memory is measured between the first token and the last one. Raises InvalidRun.
    """
    load = Load(chats=streams, tokens=TOKENS, at_once=streams, opening=OPENING, hold=True)
    script = Script(TOKENS, streams=streams, steps=True)
    async with harness.open_load(server, script, load) as running:
        memory = anonymous_memory(server.pid)
        result = await harness.finish_load(running)
        if (result.chats, result.tokens) != (streams, streams * TOKENS):
            raise InvalidRun(f"{result.chats} of {streams} streams, {result.tokens} tokens")
    return memory
