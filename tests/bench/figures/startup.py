"""Import time and startup time."""

import asyncio
import sys
from time import perf_counter

from tests.bench.harness import Harness
from tests.bench.results import Figure
from tests.bench.subjects import PROJECT, REFERENCE, import_command, subject


async def measure(harness: Harness, rounds: int) -> list[Figure]:
    """Import and start the servers alternately, with the order reversed each round."""
    imported = {name: list[float]() for name in harness.names}
    started = {name: list[float]() for name in harness.names}
    for number in range(rounds):
        bare_python = await _run((sys.executable, "-c", "pass"), "floor")
        for name in harness.names[:: -1 if number % 2 else 1]:
            seconds = await _run(import_command(name, harness.environment), name)
            imported[name].append(max(0.0, seconds - bare_python) * 1_000)
            async with subject(name, harness.environment) as server:
                started[name].append(server.started_in)
    return [
        Figure("import_ms", "import time, ms", imported),
        Figure("start_s", "startup time to first response, s", started),
    ]


async def _run(command: tuple[str, ...], name: str) -> float:
    started = perf_counter()
    folder = REFERENCE if name == "reference" else PROJECT
    process = await asyncio.create_subprocess_exec(*command, cwd=folder)
    if await process.wait():
        raise RuntimeError(f"{name} failed to import")
    return perf_counter() - started
