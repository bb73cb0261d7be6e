"""Requests by curl, over HTTP/2 too."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.programs import CURL


@asynccontextmanager
async def curl(
    url: str, *options: str, certificate: Path
) -> AsyncIterator[tuple[str, asyncio.StreamReader]]:
    """Send a request over HTTP/2; yields the head of the response, and its body to read."""
    assert CURL
    process = await asyncio.create_subprocess_exec(
        *(CURL, "--silent", "--show-error", "--no-buffer", "--include", "--http2", "--max-time"),
        *("30", "--cacert", str(certificate), *options, url),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout
    try:
        head = await process.stdout.readuntil(b"\r\n\r\n")
        yield head.decode().lower(), process.stdout
        assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
