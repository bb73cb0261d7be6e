"""A turn comes in; its frames go out as whoever follows it gets them."""

from collections.abc import AsyncIterator

import anyio

from app.services.streams import StreamBuffer


async def following(turn: StreamBuffer, after: int = -1) -> AsyncIterator[bytes]:
    """Follow a turn to its end, or until the reader is cancelled. Raises ReconnectElsewhere."""
    more = anyio.Event()
    viewer = turn.follow(lambda: more.set(), after)
    try:
        while not viewer.over:
            more = anyio.Event()
            while frames := viewer.take():
                yield frames
            if not viewer.over:
                await more.wait()
    finally:
        viewer.leave()


async def joined(turn: StreamBuffer) -> bytes:
    """Wait for all frames of a turn."""
    return b"".join([frames async for frames in following(turn)])
