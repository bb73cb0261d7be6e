"""The time to import each server, and to start it."""

import asyncio
import sys
from time import perf_counter

from tests.bench.measured import Figure
from tests.bench.stage import Stage
from tests.bench.subjects import PROJECT, REFERENCE, import_command, subject


async def measure(stage: Stage, rounds: int) -> list[Figure]:
    """Import and start each server, in reverse order every other round."""
    imported = {name: list[float]() for name in stage.names}
    started = {name: list[float]() for name in stage.names}
    for number in range(rounds):
        bare = await _run((sys.executable, "-c", "pass"), "floor")
        for name in stage.names[:: -1 if number % 2 else 1]:
            taken = await _run(import_command(name, stage.around), name)
            imported[name].append(max(0.0, taken - bare) * 1_000)
            async with subject(name, stage.around) as server:
                started[name].append(server.started_in)
    return [
        Figure("import_ms", "import, ms", imported),
        Figure("start_s", "start-up to the first reply, s", started),
    ]


async def _run(command: tuple[str, ...], name: str) -> float:
    began = perf_counter()
    folder = REFERENCE if name == "reference" else PROJECT
    process = await asyncio.create_subprocess_exec(*command, cwd=folder)
    if await process.wait():
        raise RuntimeError(f"{name} cannot be imported")
    return perf_counter() - began
