"""A condition that no event announces in; whether it came true in time out."""

from collections.abc import Callable

import anyio

POLL_SECONDS = 0.005


async def until(condition: Callable[[], bool], seconds: float) -> bool:
    """Look again and again; False when the time is over first."""
    deadline = anyio.current_time() + seconds
    while not condition():
        if anyio.current_time() > deadline:
            return False
        await anyio.sleep(POLL_SECONDS)
    return True
