"""Measure the selected parts, and void ones once more."""

import platform
import shutil
import sys
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from time import perf_counter

from msgspec import Struct

from tests.bench.figures import (
    age,
    backing,
    capacity,
    conversation,
    cpu,
    crowd,
    disconnect,
    instructions,
    latency,
    memory,
    startup,
    syscalls,
    tasks,
    workers,
)
from tests.bench.measured import Figure, Results, Step
from tests.bench.stage import Stage, Void, staged
from tests.bench.subjects import NAMES, Subject, subject

# In this order. The last ones do not need the running servers.
SHARED = ("single", "burst", "latency", "paced", "capacity", "syscalls")
OWN = ("memory", "startup", "tasks", "disconnect", "instructions")
PARTS = (*SHARED, *OWN)
# Only on request: how costs grow.
EXTRA = ("crowd", "conversation", "age", "workers", "returns", "backing")
# Void parts are measured once more.
TRIES = 2
# Programs that a part needs.
TOOLS = {"instructions": "valgrind", "syscalls": "strace"}


class Effort(Struct, frozen=True):
    """The number of rounds and the size of each."""

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
    """Measure the parts, for the named servers."""
    results = Results(_machine(), [], [], {})
    async with staged(reference_python, names) as stage:
        if wanted := [part for part in SHARED if part in parts]:
            async with AsyncExitStack() as stack:
                subjects = [
                    await stack.enter_async_context(subject(name, stage.around)) for name in names
                ]
                await _warm_up(stage, subjects)
                for part in wanted:
                    await _part(part, _shared(part, stage, subjects, effort), results)
        for part in (*OWN, *EXTRA):
            if part in parts:
                await _part(part, _own(part, stage, effort), results)
    return results


async def _part(part: str, measure: Callable[[], Awaitable[Measured]], results: Results) -> None:
    began = perf_counter()
    if part in TOOLS and not shutil.which(TOOLS[part]):
        results.void[part] = f"{TOOLS[part]} is not installed"
        return
    for _ in range(TRIES):
        try:
            figures, steps = await measure()
        except Void as void:
            results.void[part] = str(void)
        else:
            results.figures += figures
            results.steps += steps
            results.void.pop(part, None)
            break
    told = f"void: {results.void[part]}" if part in results.void else "measured"
    print(f"{part} {told} ({perf_counter() - began:.0f} s)", file=sys.stderr, flush=True)


def _shared(
    part: str, stage: Stage, subjects: list[Subject], effort: Effort
) -> Callable[[], Awaitable[Measured]]:
    async def measure() -> Measured:
        match part:
            case "latency":
                return await latency.measure(stage, subjects, effort.rounds), []
            case "capacity":
                return await capacity.measure(stage, subjects, effort.steps)
            case "syscalls":
                return await syscalls.measure(stage, subjects, effort.rounds_traced), []
        rounds = effort.rounds_of_paced if part == "paced" else effort.rounds
        return await cpu.measure(stage, subjects, cpu.KINDS[part], rounds), []

    return measure


def _own(part: str, stage: Stage, effort: Effort) -> Callable[[], Awaitable[Measured]]:
    measured: dict[str, Callable[[], Awaitable[list[Figure]]]] = {
        "memory": lambda: memory.measure(stage, effort.sizes),
        "startup": lambda: startup.measure(stage, effort.rounds),
        "tasks": lambda: tasks.measure(stage),
        "disconnect": lambda: disconnect.measure(stage),
        "instructions": lambda: instructions.measure(stage, effort.rounds_traced),
        "crowd": lambda: crowd.measure(stage, effort.rounds),
        "conversation": lambda: conversation.measure(stage, effort.rounds),
        "age": lambda: age.measure(stage),
        "workers": lambda: workers.measure(stage, effort.rounds),
        "returns": lambda: memory.again(stage),
        "backing": lambda: backing.measure(stage),
    }

    async def measure() -> Measured:
        return await measured[part](), []

    return measure


async def _warm_up(stage: Stage, subjects: list[Subject]) -> None:
    for one in subjects:
        for kind in (cpu.KINDS["single"], cpu.KINDS["burst"]):
            with suppress(Void):
                await cpu.chats(stage, one, kind, 40)


def _machine() -> dict[str, str]:
    cpuinfo = Path("/proc/cpuinfo")
    names = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
    return {
        "processor": names[0].partition(":")[2].strip() if names else platform.machine(),
        "cores": f"{len(names)} cores",
        "python": f"Python {platform.python_version()}",
        "loop": f"Linux {platform.release()}",
    }
