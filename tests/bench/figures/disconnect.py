"""Time from a viewer's disconnect until the server closes the model's connection.

The grace time, in which a viewer may reconnect, is subtracted. Measured while the model streams
and while it is silent.
"""

import asyncio
from collections.abc import Iterator
from statistics import median
from time import monotonic

from tests.bench.harness import Harness
from tests.bench.results import Figure
from tests.bench.script import TOKEN, Script, question
from tests.bench.subjects import Subject, subject

VIEWERS, RATE, TOKENS = 50, 10, 9_999
# Seconds between two disconnects (not a divisor of the token period), and until a model's
# connection counts as left open.
INTERVAL, TIMEOUT = 0.037, 10.0
GRACE = {"reference": 0.0, "service": 1.0}
STREAMING = Script(TOKENS, rate=RATE, streams=VIEWERS)
# The model never sends the second token.
SILENT = Script(TOKENS, streams=VIEWERS, steps=True)


async def measure(harness: Harness) -> list[Figure]:
    """Disconnect viewers of the service and the reference; the floor ignores disconnects."""
    names = [name for name in harness.names if name in GRACE]
    delays = {name: await _server(harness, name) for name in names}
    return [
        figure
        for index, (key, state) in enumerate((("", "streaming"), ("_silent", "silent")))
        for figure in _figures(key, state, {name: delays[name][index] for name in names})
    ]


def _figures(key: str, state: str, delays: dict[str, list[float]]) -> Iterator[Figure]:
    title = f"disconnect to model cancellation, less grace time, while {state}"
    left_open = {name: sum(value >= TIMEOUT for value in values) for name, values in delays.items()}
    note = ", ".join(
        f"{name} left {count} of {VIEWERS} connections open for more than {TIMEOUT:.0f} s"
        for name, count in left_open.items()
        if count
    )
    for suffix, label, extra, statistic in (
        ("", "median", "", median),
        ("_worst", "maximum", note, max),
    ):
        values = {name: [statistic(values) * 1_000] for name, values in delays.items()}
        full_title = f"{title}, {label} of {VIEWERS}, ms"
        yield Figure(f"hangup{key}{suffix}", full_title, values, note=extra)


async def _server(harness: Harness, name: str) -> tuple[list[float], list[float]]:
    settings = {"TURN_GRACE": str(GRACE[name])} if GRACE[name] else {}
    async with subject(name, harness.environment, settings=settings) as server:
        streaming = await _delays(harness, server, STREAMING)
        return streaming, await _delays(harness, server, SILENT)


async def _delays(harness: Harness, server: Subject, script: Script) -> list[float]:
    """Return the seconds from each viewer's disconnect to the model's, less the grace time."""
    await harness.set_script(script)
    opening = (_open(server, number) for number in range(VIEWERS))
    viewers = await asyncio.gather(*opening)
    disconnected: dict[int, float] = {}
    for token, writer in viewers:
        await asyncio.sleep(INTERVAL)
        writer.close()
        disconnected[token] = monotonic()
    deadline = monotonic() + GRACE[server.name] + TIMEOUT
    while monotonic() < deadline:
        if len(ended := await harness.disconnects()) == VIEWERS:
            break
        await asyncio.sleep(0.1)
    never = deadline + TIMEOUT
    return [
        min(TIMEOUT, ended.get(token, never) - at - GRACE[server.name])
        for token, at in disconnected.items()
    ]


async def _open(server: Subject, number: int) -> tuple[int, asyncio.StreamWriter]:
    """Ask, and return the time of the first token, which identifies the stream to the model."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(question(number, server.path))
    reply = b""
    while (token := TOKEN.search(reply)) is None:
        reply += await reader.readuntil(b"\n\n")
    return int(token[2]), writer
