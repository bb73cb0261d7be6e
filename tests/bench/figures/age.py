"""The cost and the memory of chats after very many of them."""

from tests.bench.client import Load
from tests.bench.figures import cpu
from tests.bench.measured import Figure
from tests.bench.observe import own_memory
from tests.bench.stage import Stage
from tests.bench.subjects import subject

FIRST, BETWEEN, WARM_UP = 1_000, 20_000, 100
KIND = cpu.KINDS["single"]


async def measure(stage: Stage) -> list[Figure]:
    """Run the first chats, then very many, and then as many as the first. Raises Void."""
    young, old, kept = ({name: list[float]() for name in stage.names} for _ in range(3))
    for name in stage.names:
        async with subject(name, stage.around) as server:
            await cpu.chats(stage, server, KIND, WARM_UP)
            young[name].append(await cpu.chats(stage, server, KIND, FIRST))
            before = own_memory(server.pid)
            load = Load(chats=BETWEEN, tokens=1, at_once=KIND.at_once, opening=KIND.at_once)
            await stage.load(server, KIND.script, load)
            kept[name].append((own_memory(server.pid) - before) / BETWEEN)
            old[name].append(await cpu.chats(stage, server, KIND, FIRST))
    return [
        Figure("young", f"CPU of a chat of 1 token, the first {FIRST:,}, ms", young),
        Figure("old", f"CPU of a chat of 1 token, after {BETWEEN:,}, ms", old),
        Figure("old_bytes", f"bytes kept a chat, over {BETWEEN:,}", kept),
    ]
