"""A server's folder within the data folder: claimed for one copy at a time, or looked up by others.

Two locks of the kernel's, which no crash can leave behind. `owner.lock` is held by the process that
runs the server and tells who that is and how to connect. `server.lock` is inherited by the server
and all its children: while one of them lives, nobody else starts on the same files.
"""

import errno
import fcntl
import os
import shutil
import signal
import sys
import tempfile
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import msgspec
from msgspec import Struct

from app.infra.embedded.wait import until

# What a socket's address holds, less the NUL at its end.
SOCKET_LIMIT = 107 if sys.platform == "linux" else 103
LONGEST_SOCKET_NAME = len("/.s.PGSQL.5432")
# Seconds: how long a glance of `owner()` may hold the lock, and how long an orphan may take to end.
GLANCE_LIMIT, ORPHAN_LIMIT = 0.5, 30


class EmbeddedError(Exception):
    """An embedded server cannot run; the message is one line that says why and what to do."""


class Owner(Struct, frozen=True):
    """What `owner.lock` tells: the process that runs the server, and once it runs, the rest."""

    pid: int
    server: int | None = None
    url: str | None = None


class Claim(Struct, frozen=True):
    """A server's folder while this process owns it; the two locks are open files."""

    folder: Path
    sockets: Path
    owner_lock: int
    server_lock: int

    @property
    def log(self) -> Path:
        """Where the server writes what it has to say."""
        return self.folder / "log"

    def publish(self, server: int | None = None, url: str | None = None) -> None:
        """Tell other processes who runs here: the server's process id and how to connect."""
        record = Owner(os.getpid(), server, url)
        os.ftruncate(self.owner_lock, 0)
        os.pwrite(self.owner_lock, msgspec.json.encode(record), 0)


@asynccontextmanager
async def claim(data_dir: Path, name: str) -> AsyncIterator[Claim]:
    """Own the folder `name` in the data folder, made where it is missing, until the block ends.

    Raises EmbeddedError where it cannot be used or another copy owns it.
    """
    with ExitStack() as stack:
        with files_of(data_dir):
            folder = Path(os.getcwd(), data_dir, name)
            owner_lock = _open_lock(folder / "owner.lock", stack)
            await _lock_owner(owner_lock, data_dir)
            server_lock = _open_lock(folder / "server.lock", stack)
            await _lock_server(server_lock, folder, _read(owner_lock))
            sockets = _prepare(folder, stack)
            claimed = Claim(folder, sockets, owner_lock, server_lock)
            claimed.publish()
        stack.callback(os.ftruncate, owner_lock, 0)
        yield claimed


def owner(data_dir: Path, name: str) -> Owner | None:
    """Return who runs the server `name` of a data folder; None where nobody does."""
    try:
        file = os.open(data_dir / name / "owner.lock", os.O_RDONLY)
    except OSError:
        return None
    try:
        return None if _try_lock(file, fcntl.LOCK_SH) else _read(file)
    finally:
        os.close(file)


@contextmanager
def files_of(data_dir: Path) -> Iterator[None]:
    """Turn what the file system refuses within the block into an EmbeddedError."""
    try:
        yield
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        if error.errno in (errno.EEXIST, errno.ENOTDIR):
            reason = "it, or a folder above it, is a file"
        raise EmbeddedError(
            f"{data_dir} cannot be the data folder: {reason};"
            " set DATA_DIR to a folder that can be written and has room"
        ) from error


def _open_lock(path: Path, stack: ExitStack) -> int:
    """Open a lock's file, made with its folders where they are missing."""
    path.parent.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    stack.callback(os.close, file)
    return file


async def _lock_owner(file: int, data_dir: Path) -> None:
    if not await until(lambda: _try_lock(file, fcntl.LOCK_EX), GLANCE_LIMIT):
        before = _read(file)
        raise EmbeddedError(
            f"{data_dir} is in use by another copy (process {before.pid if before else 'unknown'});"
            " stop that one or set DATA_DIR"
        )


async def _lock_server(file: int, folder: Path, before: Owner | None) -> None:
    """Wait for the end of servers whose owner was killed, after which they stop by themselves."""
    if sys.platform != "linux" and before and before.server:
        # Nothing tells them there; the lock says whether that process is still the server.
        if not _try_lock(file, fcntl.LOCK_EX):
            os.kill(before.server, signal.SIGINT)
    if not await until(lambda: _try_lock(file, fcntl.LOCK_EX), ORPHAN_LIMIT):
        raise EmbeddedError(
            f"a server of an earlier run still works in {folder}; end it or set DATA_DIR"
        )


def _prepare(folder: Path, stack: ExitStack) -> Path:
    """Put the last run's log aside; return a folder whose sockets have addresses short enough."""
    log = folder / "log"
    if log.exists():
        log.replace(folder / "log.1")
    if _fits(folder):
        return folder
    temporary = Path(tempfile.gettempdir())
    prefix = f"chrysopedia-{zlib.crc32(os.fsencode(folder)):08x}-"
    base = temporary if _fits(temporary / f"{prefix}12345678") else Path("/tmp")  # noqa: S108
    for stale in base.glob(f"{prefix}*"):
        shutil.rmtree(stale, ignore_errors=True)
    sockets = Path(tempfile.mkdtemp(prefix=prefix, dir=base))
    stack.callback(shutil.rmtree, sockets, ignore_errors=True)
    return sockets


def _fits(folder: Path) -> bool:
    """Tell whether sockets in the folder can be bound, and named in a URL and on a command line."""
    length = len(os.fsencode(folder)) + LONGEST_SOCKET_NAME
    return length <= SOCKET_LIMIT and str(folder).isprintable() and "," not in str(folder)


def _try_lock(file: int, mode: int) -> bool:
    try:
        fcntl.flock(file, mode | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(owner_lock: int) -> Owner | None:
    try:
        return msgspec.json.decode(os.pread(owner_lock, 4096, 0), type=Owner)
    except msgspec.DecodeError:
        return None
