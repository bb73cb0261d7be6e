"""Embedded servers for a command whose settings name no others."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from msgspec.structs import replace

from app.cli.errors import CommandError
from app.config import Settings


@asynccontextmanager
async def embedded_servers(settings: Settings, *, memory: bool = True) -> AsyncIterator[Settings]:
    """Run an embedded server for each URL that is empty, and yield settings with its URL.

    With `memory=False` only a database is run; if another process already runs one on the data
    folder, that one is used. Raises CommandError.
    """
    if settings.database_url and (settings.redis_url or not memory):
        yield settings
        return
    # Not imported by services that use other servers.
    from app.infra import embedded

    async with AsyncExitStack() as stack:
        try:
            running = None if memory else embedded.attach(settings.data_dir)
            if running is None or not running.database_url:
                running = await stack.enter_async_context(
                    embedded.servers(
                        settings.data_dir,
                        database=not settings.database_url,
                        memory=memory and not settings.redis_url,
                    )
                )
        except embedded.EmbeddedError as error:
            raise CommandError(str(error)) from None
        yield replace(
            settings,
            database_url=settings.database_url or running.database_url or "",
            redis_url=settings.redis_url or (running.redis_url if memory else "") or "",
        )
