"""CPU per chat with one worker, and with two workers and twice as many chats.

Both workers share one core, so a difference is the overhead that workers cause each other.
"""

from collections.abc import Sequence
from contextlib import AsyncExitStack

from msgspec.structs import replace

from tests.bench.client import Load
from tests.bench.figures import cpu
from tests.bench.harness import Harness
from tests.bench.observe import cpu_seconds
from tests.bench.results import Figure
from tests.bench.subjects import Subject, subject

KINDS, CHATS, WARM_UP = ("burst", "paced"), {"burst": 400, "paced": cpu.STREAMS}, 100


async def measure(harness: Harness, rounds: int) -> list[Figure]:
    """Run a load against one worker, and twice the load against two. Raises InvalidRun."""
    cpu_times = {(kind, count): list[float]() for kind in KINDS for count in (1, 2)}
    async with AsyncExitStack() as stack:
        workers = [
            await stack.enter_async_context(subject("service", harness.environment))
            for _ in range(2)
        ]
        for worker in workers:
            await cpu.cpu_per_chat(harness, worker, cpu.KINDS["burst"], WARM_UP)
        for _ in range(rounds):
            for (kind, count), values in cpu_times.items():
                values.append(await _cpu_per_chat(harness, cpu.KINDS[kind], workers[:count]))
    return [
        Figure(
            f"workers_{kind}_{count}",
            f"CPU per chat of 200 tokens, {kind}, workers: {count}, ms",
            {"service": values},
        )
        for (kind, count), values in cpu_times.items()
    ]


async def _cpu_per_chat(harness: Harness, kind: cpu.Kind, workers: Sequence[Subject]) -> float:
    """Return the mean CPU time of a chat, in ms."""
    load = Load(
        chats=CHATS[kind.key] * len(workers),
        tokens=kind.script.tokens,
        at_once=kind.at_once * len(workers),
        opening=min(cpu.MAX_OPENING, kind.at_once) * len(workers),
        ports=tuple(worker.port for worker in workers),
    )
    pids = [worker.pid for worker in workers]
    before = cpu_seconds(pids)
    script = replace(kind.script, streams=kind.script.streams * len(workers))
    await harness.run_load(workers[0], script, load)
    return (cpu_seconds(pids) - before) * 1_000 / load.chats
