"""A real PgBouncer in transaction mode in front of a test's PostgreSQL."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from urllib.parse import SplitResult, parse_qs, urlsplit

from app.infra.embedded.wait import until
from tests.programs import PGBOUNCER
from tests.servers import free_ports

# Few enough that concurrent clients share server connections.
POOL_SIZE = 4
START_LIMIT, END_LIMIT = 20, 20

CONFIGURATION = """
[databases]
* = host={host} port=5432 user={user}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {size}
"""


@asynccontextmanager
async def pgbouncer(database_url: str) -> AsyncIterator[str]:
    """Run PgBouncer; yields the URL of the same database through it."""
    parts = urlsplit(database_url)
    (port,) = free_ports(1)
    with _running(parts, port) as process:
        assert await until(lambda: process.poll() is not None or _accepts(port), START_LIMIT)
        assert process.returncode is None
        try:
            yield f"postgresql://{parts.username}@127.0.0.1:{port}{parts.path}"
        finally:
            process.terminate()
            await until(lambda: process.poll() is not None, END_LIMIT)


@contextmanager
def _running(parts: SplitResult, port: int) -> Iterator[subprocess.Popen[bytes]]:
    assert PGBOUNCER
    with tempfile.TemporaryDirectory(prefix="chrysopedia-") as folder:
        configuration = Path(folder, "pgbouncer.ini")
        host = parse_qs(parts.query)["host"][0]
        configuration.write_text(
            CONFIGURATION.format(host=host, user=parts.username, port=port, size=POOL_SIZE)
        )
        with subprocess.Popen(  # noqa: S603 - no shell
            [*_unprivileged(), PGBOUNCER, "-q", str(configuration)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            yield process


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _unprivileged() -> list[str]:
    """Return the start of a command that runs a program as `nobody` if we are root.

    PgBouncer refuses to run as root, but must read our configuration and PostgreSQL's socket.
    """
    if os.geteuid() != 0:
        return []
    setpriv, nobody = shutil.which("setpriv"), pwd.getpwnam("nobody")
    assert setpriv
    return [
        *(setpriv, f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"),
        *("--inh-caps=+dac_override", "--ambient-caps=+dac_override"),
    ]
