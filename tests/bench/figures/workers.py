"""The cost of a chat on one worker, and on two with twice the load.

Both workers share one core, since everything else uses the other. If a chat costs more on two
workers, a second core would not double the capacity.
"""

from collections.abc import Sequence
from contextlib import AsyncExitStack

from msgspec.structs import replace

from tests.bench.client import Load
from tests.bench.figures import cpu
from tests.bench.measured import Figure
from tests.bench.observe import cpu_seconds
from tests.bench.stage import Stage
from tests.bench.subjects import Subject, subject

KINDS, CHATS, WARM_UP = ("burst", "paced"), {"burst": 400, "paced": cpu.STREAMS}, 100


async def measure(stage: Stage, rounds: int) -> list[Figure]:
    """Run a load on one worker and twice the load on two, in turn. Raises Void."""
    found = {(kind, count): list[float]() for kind in KINDS for count in (1, 2)}
    async with AsyncExitStack() as stack:
        workers = [
            await stack.enter_async_context(subject("service", stage.around)) for _ in range(2)
        ]
        for worker in workers:
            await cpu.chats(stage, worker, cpu.KINDS["burst"], WARM_UP)
        for _ in range(rounds):
            for (kind, count), values in found.items():
                values.append(await _chats(stage, cpu.KINDS[kind], workers[:count]))
    return [
        Figure(
            f"workers_{kind}_{count}",
            f"CPU of a chat of 200 tokens, {kind}, workers: {count}, ms",
            {"service": values},
        )
        for (kind, count), values in found.items()
    ]


async def _chats(stage: Stage, kind: cpu.Kind, asked: Sequence[Subject]) -> float:
    """Return the CPU time of a chat, in milliseconds."""
    load = Load(
        chats=CHATS[kind.key] * len(asked),
        tokens=kind.script.tokens,
        at_once=kind.at_once * len(asked),
        opening=min(cpu.MAX_OPENING, kind.at_once) * len(asked),
        ports=tuple(worker.port for worker in asked),
    )
    pids = [worker.pid for worker in asked]
    before = cpu_seconds(pids)
    script = replace(kind.script, streams=kind.script.streams * len(asked))
    await stage.load(asked[0], script, load)
    return (cpu_seconds(pids) - before) * 1_000 / load.chats
