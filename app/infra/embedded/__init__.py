"""PostgreSQL and Valkey out of wheels: a data folder in, the URLs of two running servers out.

For `make run` and the tests; production points DATABASE_URL and REDIS_URL at servers of its own.
"""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import anyio
from msgspec import Struct

from app.infra.embedded.data_dir_lock import EmbeddedError, owner
from app.infra.embedded.postgres import postgres
from app.infra.embedded.valkey import valkey

__all__ = ["EmbeddedError", "Servers", "attach", "postgres", "servers", "valkey"]


class Servers(Struct, frozen=True):
    """Running servers: how to connect (None where one does not run), and the process they serve."""

    database_url: str | None
    redis_url: str | None
    pid: int


@asynccontextmanager
async def servers(
    data_dir: Path, *, database: bool = True, memory: bool = True
) -> AsyncIterator[Servers]:
    """Run the wanted servers on `data_dir` for the length of the block; both start at once.

    Enter it on the main thread: the servers stop by themselves when the thread that started them
    is gone. Raises EmbeddedError where one cannot run.
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
        yield Servers(urls.get("postgres"), urls.get("valkey"), os.getpid())


def attach(data_dir: Path) -> Servers | None:
    """Find the servers that another process runs on `data_dir`; None where none is ready."""
    found = {name: owner(data_dir, name) for name in ("postgres", "valkey")}
    urls = {name: it.url for name, it in found.items() if it and it.url}
    pids = [it.pid for it in found.values() if it and it.url]
    return Servers(urls.get("postgres"), urls.get("valkey"), pids[0]) if pids else None
