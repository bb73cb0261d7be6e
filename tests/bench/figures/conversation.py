"""CPU per chat by the length of its conversation."""

from itertools import pairwise
from time import monotonic

from tests.bench.client import Load
from tests.bench.figures import cpu
from tests.bench.harness import Harness
from tests.bench.observe import cpu_seconds
from tests.bench.results import Figure
from tests.bench.script import Script
from tests.bench.subjects import Subject, subject

# Earlier turns of a conversation, conversations per round, and concurrent ones.
LENGTHS, CHATS, AT_ONCE = (0, 3, 10), 60, 8
SCRIPT = Script(200)


async def measure(harness: Harness, rounds: int) -> list[Figure]:
    """Run conversations of up to `LENGTHS[-1] + 1` turns. Raises InvalidRun."""
    values = {length: {name: list[float]() for name in harness.names} for length in LENGTHS}
    for name in harness.names:
        async with subject(name, harness.environment) as server:
            await cpu.cpu_per_chat(harness, server, cpu.KINDS["burst"], CHATS)
            for _ in range(rounds):
                for length, spent in enumerate(await _cpu_per_turn(harness, server)):
                    if length in LENGTHS:
                        values[length][name].append(spent)
    return [
        Figure(
            f"turns_{length}",
            f"CPU per chat of 200 tokens, burst, after {length} turns, ms",
            values[length],
        )
        for length in LENGTHS
    ]


async def _cpu_per_turn(harness: Harness, server: Subject) -> list[float]:
    """Return the CPU time of the first turn, the second one and so on, in ms."""
    load = Load(
        chats=CHATS,
        tokens=SCRIPT.tokens,
        at_once=AT_ONCE,
        opening=AT_ONCE,
        conversation=f"bench-{int(monotonic() * 1e6)}",
    )
    spent = [cpu_seconds([server.pid])]
    for _ in range(LENGTHS[-1] + 1):
        await harness.run_load(server, SCRIPT, load)
        spent.append(cpu_seconds([server.pid]))
    return [(after - before) * 1_000 / CHATS for before, after in pairwise(spent)]
