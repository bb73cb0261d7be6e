"""Run a module that writes its number of asyncio tasks to a file on SIGUSR1.

`python counting.py FILE -m MODULE …`; it runs in the reference's Python too.
"""

import asyncio
import runpy
import signal
import sys
from pathlib import Path
from types import FrameType


def count(_: int, __: FrameType | None) -> None:
    """Write the number of tasks of the running loop."""
    told.write_text(f"{len(asyncio.all_tasks())}\n")


if __name__ == "__main__":
    told, module = Path(sys.argv[1]), sys.argv[3]
    # As with `python -m`: the server must not import from this folder.
    sys.path[0] = ""
    sys.argv = sys.argv[3:]
    signal.signal(signal.SIGUSR1, count)
    runpy.run_module(module, run_name="__main__", alter_sys=True)
