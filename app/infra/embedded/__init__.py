"""PostgreSQL and Valkey from wheels, run on a data folder for `make run` and the tests.

In production, DATABASE_URL and REDIS_URL name other servers.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import anyio
from msgspec import Struct

from app.infra.embedded.data_dir_lock import EmbeddedError, find_owner
from app.infra.embedded.postgres import postgres
from app.infra.embedded.valkey import valkey

__all__ = ["EmbeddedError", "Servers", "attach", "postgres", "servers", "valkey"]


class Servers(Struct, frozen=True):
    """URLs of running servers, None for one that does not run."""

    database_url: str | None
    redis_url: str | None


@asynccontextmanager
async def servers(
    data_dir: Path, *, database: bool = True, memory: bool = True
) -> AsyncIterator[Servers]:
    """Run one or both servers on `data_dir` within the block; they start concurrently.

    They stop when the thread that entered the block ends. Raises EmbeddedError if one cannot run.
    """
    wanted = {"postgres": postgres} if database else {}
    if memory:
        wanted["valkey"] = valkey
    urls: dict[str, str] = {}
    async with AsyncExitStack() as stack:

        async def enter(name: str) -> None:
            urls[name] = await stack.enter_async_context(wanted[name](data_dir))

        try:
            async with anyio.create_task_group() as group:
                for name in wanted:
                    group.start_soon(enter, name)
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        yield Servers(urls.get("postgres"), urls.get("valkey"))


def attach(data_dir: Path) -> Servers | None:
    """Find the servers that other processes run on `data_dir`; None if none is ready."""
    owners = {name: find_owner(data_dir, name) for name in ("postgres", "valkey")}
    urls = {name: owner.url for name, owner in owners.items() if owner and owner.url}
    return Servers(urls.get("postgres"), urls.get("valkey")) if urls else None
