"""CPU per chat, and memory retained, after many chats."""

from tests.bench.client import Load
from tests.bench.figures import cpu
from tests.bench.harness import Harness
from tests.bench.observe import anonymous_memory
from tests.bench.results import Figure
from tests.bench.subjects import subject

# Chats that are measured, chats between the two measurements, and chats to warm up.
MEASURED, BETWEEN, WARM_UP = 1_000, 20_000, 100
KIND = cpu.KINDS["single"]


async def measure(harness: Harness) -> list[Figure]:
    """Measure the first chats, and as many after `BETWEEN` more. Raises InvalidRun."""
    first, later, retained = ({name: list[float]() for name in harness.names} for _ in range(3))
    for name in harness.names:
        async with subject(name, harness.environment) as server:
            await cpu.cpu_per_chat(harness, server, KIND, WARM_UP)
            first[name].append(await cpu.cpu_per_chat(harness, server, KIND, MEASURED))
            before = anonymous_memory(server.pid)
            load = Load(chats=BETWEEN, tokens=1, at_once=KIND.at_once, opening=KIND.at_once)
            await harness.run_load(server, KIND.script, load)
            retained[name].append((anonymous_memory(server.pid) - before) / BETWEEN)
            later[name].append(await cpu.cpu_per_chat(harness, server, KIND, MEASURED))
    return [
        Figure("young", f"CPU per chat of 1 token, first {MEASURED:,} chats, ms", first),
        Figure("old", f"CPU per chat of 1 token, after {BETWEEN:,} chats, ms", later),
        Figure("old_bytes", f"bytes retained per chat, over {BETWEEN:,} chats", retained),
    ]
