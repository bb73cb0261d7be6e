"""Runs the parts of a benchmark, and repeats invalid ones."""

import platform
import shutil
import sys
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from time import perf_counter

from msgspec import Struct

from tests.bench.figures import (
    aging,
    backends,
    capacity,
    concurrency,
    conversation,
    cpu,
    disconnect,
    instructions,
    latency,
    memory,
    startup,
    syscalls,
    tasks,
    workers,
)
from tests.bench.harness import Harness, InvalidRun, open_harness
from tests.bench.results import Figure, Results, Step
from tests.bench.subjects import NAMES, Subject, subject

# Measured in this order: first what uses the same running servers, then what starts its own.
SHARED = ("single", "burst", "latency", "paced", "capacity", "syscalls")
OWN = ("memory", "startup", "tasks", "disconnect", "instructions")
PARTS = (*SHARED, *OWN)
# How costs scale; measured only on request.
SCALING = ("concurrency", "conversation", "aging", "workers", "reuse", "backends")
# Invalid parts are measured once more.
ATTEMPTS = 2
# Programs that a part needs.
TOOLS = {"instructions": "valgrind", "syscalls": "strace"}


class Effort(Struct, frozen=True):
    """The number of rounds and of capacity steps, and the stream counts of the memory part."""

    rounds: int
    rounds_of_paced: int
    rounds_traced: int
    steps: int
    sizes: tuple[int, ...]


FULL = Effort(rounds=3, rounds_of_paced=3, rounds_traced=2, steps=6, sizes=(1_000, 5_000))
QUICK = Effort(rounds=1, rounds_of_paced=1, rounds_traced=1, steps=4, sizes=(200,))

Measured = tuple[list[Figure], list[Step]]


async def run(
    parts: Collection[str], effort: Effort, reference_python: Path, names: Sequence[str] = NAMES
) -> Results:
    """Measure parts of the benchmark for the servers in `names`."""
    results = Results(_machine(), [], [], {})
    async with open_harness(reference_python, names) as harness:
        if wanted := [part for part in SHARED if part in parts]:
            async with AsyncExitStack() as stack:
                subjects = [
                    await stack.enter_async_context(subject(name, harness.environment))
                    for name in names
                ]
                await _warm_up(harness, subjects)
                for part in wanted:
                    await _part(part, _shared(part, harness, subjects, effort), results)
        for part in (*OWN, *SCALING):
            if part in parts:
                await _part(part, _own(part, harness, effort), results)
    return results


async def _part(part: str, measure: Callable[[], Awaitable[Measured]], results: Results) -> None:
    started = perf_counter()
    if part in TOOLS and not shutil.which(TOOLS[part]):
        results.invalid[part] = f"{TOOLS[part]} is not installed"
        return
    for _ in range(ATTEMPTS):
        try:
            figures, steps = await measure()
        except InvalidRun as error:
            results.invalid[part] = str(error)
        else:
            results.figures += figures
            results.steps += steps
            results.invalid.pop(part, None)
            break
    status = f"invalid: {results.invalid[part]}" if part in results.invalid else "measured"
    print(f"{part} {status} ({perf_counter() - started:.0f} s)", file=sys.stderr, flush=True)


def _shared(
    part: str, harness: Harness, subjects: list[Subject], effort: Effort
) -> Callable[[], Awaitable[Measured]]:
    async def measure() -> Measured:
        match part:
            case "latency":
                return await latency.measure(harness, subjects, effort.rounds), []
            case "capacity":
                return await capacity.measure(harness, subjects, effort.steps)
            case "syscalls":
                return await syscalls.measure(harness, subjects, effort.rounds_traced), []
        rounds = effort.rounds_of_paced if part == "paced" else effort.rounds
        return await cpu.measure(harness, subjects, cpu.KINDS[part], rounds), []

    return measure


def _own(part: str, harness: Harness, effort: Effort) -> Callable[[], Awaitable[Measured]]:
    measures: dict[str, Callable[[], Awaitable[list[Figure]]]] = {
        "memory": lambda: memory.measure(harness, effort.sizes),
        "startup": lambda: startup.measure(harness, effort.rounds),
        "tasks": lambda: tasks.measure(harness),
        "disconnect": lambda: disconnect.measure(harness),
        "instructions": lambda: instructions.measure(harness, effort.rounds_traced),
        "concurrency": lambda: concurrency.measure(harness, effort.rounds),
        "conversation": lambda: conversation.measure(harness, effort.rounds),
        "aging": lambda: aging.measure(harness),
        "workers": lambda: workers.measure(harness, effort.rounds),
        "reuse": lambda: memory.measure_reuse(harness),
        "backends": lambda: backends.measure(harness),
    }

    async def measure() -> Measured:
        return await measures[part](), []

    return measure


async def _warm_up(harness: Harness, subjects: list[Subject]) -> None:
    for one in subjects:
        for kind in (cpu.KINDS["single"], cpu.KINDS["burst"]):
            with suppress(InvalidRun):
                await cpu.cpu_per_chat(harness, one, kind, 40)


def _machine() -> dict[str, str]:
    cpuinfo = Path("/proc/cpuinfo")
    names = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
    return {
        "processor": names[0].partition(":")[2].strip() if names else platform.machine(),
        "cores": f"{len(names)} cores",
        "python": f"Python {platform.python_version()}",
        "loop": f"Linux {platform.release()}",
    }
