"""Wait for a condition by polling."""

from collections.abc import Callable

import anyio

POLL_INTERVAL = 0.005


async def until(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait until the condition is true; return False if it is not within this many seconds."""
    deadline = anyio.current_time() + seconds
    while not condition():
        if anyio.current_time() > deadline:
            return False
        await anyio.sleep(POLL_INTERVAL)
    return True
