"""Embedders turn texts into unit-length vectors; texts of similar meaning have similar vectors.

`use` and `bge` run in the process, and `local` has what they share; `remote` calls a server.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

import anyio

T = TypeVar("T")
R = TypeVar("R")


class EmbeddingFailed(Exception):
    """Texts could not be embedded; the message is one sentence without secrets."""


class EmbedderMissing(EmbeddingFailed):
    """The configured embedder is not available; the message says what to install or change."""


class Embedder(Protocol):
    """Turns texts into vectors; only vectors of the same `name` can be compared."""

    @property
    def name(self) -> str:
        """The name that the vectors are stored under."""

    @property
    def dimension(self) -> int | None:
        """The length of its vectors; None if only embedding a text tells."""

    async def embed_questions(self, texts: Sequence[str]) -> list[list[float]]:
        """Return a unit-length vector per question, in order, all of one dimension.

        A blank text has a vector too, of an arbitrary direction. Raises EmbeddingFailed.
        """

    async def embed_passages(self, texts: Sequence[str]) -> list[list[float]]:
        """Return vectors like those of `embed_questions`, to compare them with."""


async def map_concurrently(
    work: Callable[[T], Awaitable[R]], items: Sequence[T], limit: int
) -> list[R]:
    """Await `work` on each item, at most `limit` at a time; return the results in order.

    Items are not queued in advance, so that another caller's single item does not wait behind them.
    The first failure is raised unwrapped and cancels the rest.
    """
    results: dict[int, R] = {}
    waiting = iter(enumerate(items))

    async def worker() -> None:
        for position, item in waiting:
            results[position] = await work(item)

    try:
        # Not asyncio.TaskGroup: before Python 3.13 a failed child can leave a cancellation behind
        # in this task, and every later asyncio.timeout in it then raises.
        async with anyio.create_task_group() as workers:
            for _ in range(min(limit, len(items))):
                workers.start_soon(worker)
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [results[position] for position in range(len(items))]
