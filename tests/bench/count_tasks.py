"""Run a module that writes its number of asyncio tasks to a file on SIGUSR1.

Usage: `python count_tasks.py FILE -m MODULE …`. It also runs under the reference's Python.
"""

import asyncio
import runpy
import signal
import sys
from pathlib import Path
from types import FrameType


def write_count(_: int, __: FrameType | None) -> None:
    """Write the number of tasks of the running loop."""
    count_file.write_text(f"{len(asyncio.all_tasks())}\n")


if __name__ == "__main__":
    count_file, module = Path(sys.argv[1]), sys.argv[3]
    # As with `python -m`: the server must not import modules from this file's folder.
    sys.path[0] = ""
    sys.argv = sys.argv[3:]
    signal.signal(signal.SIGUSR1, write_count)
    runpy.run_module(module, run_name="__main__", alter_sys=True)
