"""The cost of a chat by the number of turns before it."""

from itertools import pairwise
from time import monotonic

from tests.bench.client import Load
from tests.bench.figures import cpu
from tests.bench.measured import Figure
from tests.bench.observe import cpu_seconds
from tests.bench.script import Script
from tests.bench.stage import Stage
from tests.bench.subjects import Subject, subject

# Earlier turns of a conversation, and conversations per round.
LENGTHS, CHATS, AT_ONCE = (0, 3, 10), 60, 8
SCRIPT = Script(200)


async def measure(stage: Stage, rounds: int) -> list[Figure]:
    """Run conversations of more and more turns. Raises Void."""
    values = {length: {name: list[float]() for name in stage.names} for length in LENGTHS}
    for name in stage.names:
        async with subject(name, stage.around) as server:
            await cpu.chats(stage, server, cpu.KINDS["burst"], CHATS)
            for _ in range(rounds):
                for length, spent in enumerate(await _conversations(stage, server)):
                    if length in LENGTHS:
                        values[length][name].append(spent)
    return [
        Figure(
            f"turns_{length}",
            f"CPU of a chat of 200 tokens in a burst after {length} turns, ms",
            values[length],
        )
        for length in LENGTHS
    ]


async def _conversations(stage: Stage, server: Subject) -> list[float]:
    """Return the CPU time of the first turn, of the second, and so on, in milliseconds."""
    load = Load(
        chats=CHATS,
        tokens=SCRIPT.tokens,
        at_once=AT_ONCE,
        opening=AT_ONCE,
        conversation=f"talk-{int(monotonic() * 1e6)}",
    )
    spent = [cpu_seconds([server.pid])]
    for _ in range(LENGTHS[-1] + 1):
        await stage.load(server, SCRIPT, load)
        spent.append(cpu_seconds([server.pid]))
    return [(after - before) * 1_000 / CHATS for before, after in pairwise(spent)]
