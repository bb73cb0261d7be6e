"""How long a model request runs on after its viewer has disconnected.

From the disconnect until the model's connection is closed, without the grace time in which the
viewer may return. It is measured while the model sends tokens and while it is silent.
"""

import asyncio
from collections.abc import Iterator
from statistics import median
from time import monotonic

from tests.bench.measured import Figure
from tests.bench.script import TOKEN, Script, question
from tests.bench.stage import Stage
from tests.bench.subjects import Subject, subject

VIEWERS, RATE, TOKENS = 50, 10, 9_999
# Seconds between two disconnects (not a fraction of a token's period), and until giving up.
APART, LIMIT = 0.037, 10.0
GRACE = {"reference": 0.0, "service": 1.0}
SPEAKING = Script(TOKENS, rate=RATE, streams=VIEWERS)
# Its second token never arrives.
SILENT = Script(TOKENS, streams=VIEWERS, steps=True)


async def measure(stage: Stage) -> list[Figure]:
    """Disconnect viewers; the floor does not notice that."""
    names = [name for name in stage.names if name in GRACE]
    found = {name: await _server(stage, name) for name in names}
    return [
        figure
        for place, (key, when) in enumerate((("", "speaks"), ("_silent", "is silent")))
        for figure in _figures(key, when, {name: found[name][place] for name in names})
    ]


def _figures(key: str, when: str, found: dict[str, list[float]]) -> Iterator[Figure]:
    title = f"from hang-up (and grace) to the model's end, while it {when}"
    kept = {name: sum(value >= LIMIT for value in values) for name, values in found.items()}
    note = ", ".join(
        f"{name} left {count} of {VIEWERS} models on for more than {LIMIT:.0f} s"
        for name, count in kept.items()
        if count
    )
    for suffix, of, told, middle in (("", "median", "", median), ("_worst", "slowest", note, max)):
        values = {name: [middle(values) * 1_000] for name, values in found.items()}
        yield Figure(f"hangup{key}{suffix}", f"{title}, {of} of {VIEWERS}, ms", values, note=told)


async def _server(stage: Stage, name: str) -> tuple[list[float], list[float]]:
    settings = {"TURN_GRACE": str(GRACE[name])} if GRACE[name] else {}
    async with subject(name, stage.around, settings=settings) as server:
        speaking = await _hang_up(stage, server, SPEAKING)
        return speaking, await _hang_up(stage, server, SILENT)


async def _hang_up(stage: Stage, server: Subject, script: Script) -> list[float]:
    """Return the seconds that each model request ran on after the grace time."""
    await stage.follow(script)
    opening = (_open(server, number) for number in range(VIEWERS))
    viewers = await asyncio.gather(*opening)
    left: dict[int, float] = {}
    for token, writer in viewers:
        await asyncio.sleep(APART)
        writer.close()
        left[token] = monotonic()
    until = monotonic() + GRACE[server.name] + LIMIT
    while monotonic() < until:
        if len(ended := await stage.hung_up()) == VIEWERS:
            break
        await asyncio.sleep(0.1)
    never = until + LIMIT
    return [
        min(LIMIT, ended.get(token, never) - at - GRACE[server.name]) for token, at in left.items()
    ]


async def _open(server: Subject, number: int) -> tuple[int, asyncio.StreamWriter]:
    """Ask and return the time of the first token, which identifies the model's stream."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(question(number, server.path))
    reply = b""
    while (token := TOKEN.search(reply)) is None:
        reply += await reader.readuntil(b"\n\n")
    return int(token[2]), writer
