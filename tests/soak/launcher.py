"""The environment comes in; a worker that also writes down how many tasks it has, every second.

`python -m tests.soak.launcher FILE` is `python -m app serve` but for that. It ends at once when its
standard input does, and so never outlives whoever started it.
"""

import asyncio
import os
import sys
from pathlib import Path

import uvloop

from app import logs
from app.cli.serve import serve
from app.config import Settings

SECONDS = 1.0


def count_tasks(file: Path) -> None:
    """Write the number of this loop's tasks into a file, now and once a second from now on."""
    loop = asyncio.get_running_loop()
    file.write_text(str(len(asyncio.all_tasks(loop))))
    loop.call_later(SECONDS, count_tasks, file)


async def run(settings: Settings, file: Path) -> None:
    """Serve and count, by a timer rather than a task that would count itself."""
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), os._exit, 1)
    count_tasks(file)
    await serve(settings, None)


if __name__ == "__main__":
    settings = Settings.from_environment(os.environ)
    logs.configure(settings.log_format, settings.log_level)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(settings, Path(sys.argv[1])))
