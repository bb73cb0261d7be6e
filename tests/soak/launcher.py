"""`python -m app serve` that also writes its number of asyncio tasks to a file every second.

Usage: `python -m tests.soak.launcher FILE`. It exits when its standard input is closed, so that it
does not outlive its parent.
"""

import asyncio
import os
import sys
from pathlib import Path

import uvloop

from app import logs
from app.cli.serve import serve
from app.config import Settings

INTERVAL = 1.0


def count_tasks(file: Path) -> None:
    """Write the number of tasks of this loop to a file, now and every second."""
    loop = asyncio.get_running_loop()
    file.write_text(str(len(asyncio.all_tasks(loop))))
    loop.call_later(INTERVAL, count_tasks, file)


async def run(settings: Settings, file: Path) -> None:
    """Serve, and count tasks by a timer, since a task would count itself."""
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), os._exit, 1)
    count_tasks(file)
    await serve(settings, None)


if __name__ == "__main__":
    settings = Settings.from_environment(os.environ)
    logs.configure(settings.log_format, settings.log_level)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(settings, Path(sys.argv[1])))
