"""asyncio tasks per stream."""

import os
import signal
import tempfile
from pathlib import Path
from time import monotonic, sleep

from tests.bench.client import Load
from tests.bench.measured import Figure
from tests.bench.script import Script
from tests.bench.stage import Stage, Void
from tests.bench.subjects import Subject, subject

STREAMS, OPENING, LIMIT = 200, 50, 10.0
COUNTING = Path(__file__).parents[1] / "counting.py"


async def measure(stage: Stage) -> list[Figure]:
    """Count the tasks with and without open streams. Raises Void."""
    counted = {name: [await _tasks(stage, name)] for name in stage.names}
    return [Figure("tasks", "asyncio tasks a stream", counted)]


async def _tasks(stage: Stage, name: str) -> float:
    load = Load(chats=STREAMS, tokens=2, at_once=STREAMS, opening=OPENING, hold=True)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        file = Path(folder) / "tasks"
        async with subject(name, stage.around, runner=(str(COUNTING), str(file))) as server:
            # Tasks that remain after a first chat.
            await stage.load(server, Script(2), Load(chats=20, tokens=2, at_once=5, opening=5))
            before = _count(server, file)
            script = Script(2, streams=STREAMS, steps=True)
            async with stage.held(server, script, load) as running:
                most = _count(server, file)
                await stage.outcome(running)
    return (most - before) / STREAMS


def _count(server: Subject, file: Path) -> int:
    file.unlink(missing_ok=True)
    os.kill(server.pid, signal.SIGUSR1)
    until = monotonic() + LIMIT
    while not (file.exists() and (told := file.read_text())):
        if monotonic() > until:
            raise Void(f"{server.name} did not count its tasks")
        sleep(0.02)
    return int(told)
