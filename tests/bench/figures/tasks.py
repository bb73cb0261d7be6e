"""Asyncio tasks per open stream."""

import os
import signal
import tempfile
from pathlib import Path
from time import monotonic, sleep

from tests.bench.client import Load
from tests.bench.harness import Harness, InvalidRun
from tests.bench.results import Figure
from tests.bench.script import Script
from tests.bench.subjects import Subject, subject

STREAMS, OPENING, TIMEOUT = 200, 50, 10.0
COUNT_TASKS = Path(__file__).parents[1] / "count_tasks.py"


async def measure(harness: Harness) -> list[Figure]:
    """Compare the number of tasks with and without open streams. Raises InvalidRun."""
    counted = {name: [await _tasks(harness, name)] for name in harness.names}
    return [Figure("tasks", "asyncio tasks per stream", counted)]


async def _tasks(harness: Harness, name: str) -> float:
    load = Load(chats=STREAMS, tokens=2, at_once=STREAMS, opening=OPENING, hold=True)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        file = Path(folder) / "tasks"
        async with subject(
            name, harness.environment, runner=(str(COUNT_TASKS), str(file))
        ) as server:
            # Warm up: the first chats start tasks that outlive them.
            await harness.run_load(
                server, Script(2), Load(chats=20, tokens=2, at_once=5, opening=5)
            )
            before = _count(server, file)
            script = Script(2, streams=STREAMS, steps=True)
            async with harness.open_load(server, script, load) as running:
                with_streams = _count(server, file)
                await harness.finish_load(running)
    return (with_streams - before) / STREAMS


def _count(server: Subject, file: Path) -> int:
    file.unlink(missing_ok=True)
    os.kill(server.pid, signal.SIGUSR1)
    deadline = monotonic() + TIMEOUT
    while not (file.exists() and (count := file.read_text())):
        if monotonic() > deadline:
            raise InvalidRun(f"{server.name} did not report its tasks")
        sleep(0.02)
    return int(count)
