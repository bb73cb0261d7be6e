"""Texts come in; vectors of length one go out, so that near in meaning is near in direction.

`local` has models that run in the process, `remote` asks a server; both take optional packages
and settings from whoever constructs them, and nothing here is imported that may be absent.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

import anyio

T = TypeVar("T")
R = TypeVar("R")


class EmbeddingFailed(Exception):
    """No vectors came of it; the message is one sentence without secrets."""


class EmbedderMissing(EmbeddingFailed):
    """The packages of an embedder are not installed; the message says what to install."""


class Embedder(Protocol):
    """Turns texts into vectors; vectors of different names must never be compared."""

    @property
    def name(self) -> str:
        """What the vectors are kept under."""

    async def __call__(self, texts: Sequence[str]) -> list[list[float]]:
        """Return a unit-length vector a text, in order, all of one dimension.

        A blank text gets a vector too, of no particular direction. Raises EmbeddingFailed.
        """


async def in_order(work: Callable[[T], Awaitable[R]], items: Sequence[T], at_once: int) -> list[R]:
    """Await `work` on each item, at most `at_once` at a time; return the results in order.

    Items are only begun when there is room, so that another caller's single item need not wait
    behind all of them. The first failure is raised as it is and stops the rest.
    """
    results: dict[int, R] = {}
    waiting = iter(enumerate(items))

    async def worker() -> None:
        for position, item in waiting:
            results[position] = await work(item)

    try:
        # Not asyncio's own: until Python 3.13 a failure within it stays with this task as a
        # cancellation, and then the first of 3.11 tell no time-out of this task as such any more.
        async with anyio.create_task_group() as workers:
            for _ in range(min(at_once, len(items))):
                workers.start_soon(worker)
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [results[position] for position in range(len(items))]
