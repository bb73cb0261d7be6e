"""Locks on a server's folder within the data folder, so that only one server uses it at a time.

Both locks are kernel locks, which a crash releases. `owner.lock` is held by the process that runs
the server, and records its id and how to connect. `server.lock` is inherited by the server and all
its children: while one of them runs, no other server starts on the same files.
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
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path

import msgspec
from msgspec import Struct

from app.infra.embedded.wait import until

# Maximum length of a socket's path, without the NUL at its end.
MAX_SOCKET_PATH = 107 if sys.platform == "linux" else 103
LONGEST_SOCKET_NAME = "/.s.PGSQL.5432"
# Seconds that `find_owner` may hold a lock; for an orphaned server to end by itself; and for it to
# end after SIGINT.
PROBE_TIME, ORPHAN_TIME, ORPHAN_STOP_TIME = 0.5, 2, 30


class EmbeddedError(Exception):
    """An embedded server cannot run; the message is one line that says why and what to do."""


class Owner(Struct, frozen=True):
    """The record in `owner.lock`: the process ids of owner and server, and the server's URL."""

    pid: int
    server: int | None = None
    url: str | None = None


class DataDirLock(Struct, frozen=True):
    """A locked server folder, and the folder for its sockets; the locks are file descriptors."""

    folder: Path
    sockets: Path
    owner_lock: int
    server_lock: int

    @property
    def log(self) -> Path:
        """The file that the server logs to."""
        return self.folder / "log"

    def publish(self, server: int | None = None, url: str | None = None) -> None:
        """Record the server's process id and URL for other processes."""
        os.ftruncate(self.owner_lock, 0)
        os.pwrite(self.owner_lock, msgspec.json.encode(Owner(os.getpid(), server, url)), 0)


@asynccontextmanager
async def lock_data_dir(data_dir: Path, name: str) -> AsyncIterator[DataDirLock]:
    """Lock the folder `name` of the data folder, created if missing, until the block ends.

    Raises EmbeddedError if it cannot be used or another process has locked it.
    """
    with ExitStack() as stack:
        with data_dir_errors(data_dir):
            folder = Path(os.getcwd(), data_dir, name)
            owner_lock = _open_lock(folder / "owner.lock", stack)
            await _lock_owner(owner_lock, data_dir)
            server_lock = _open_lock(folder / "server.lock", stack)
            await _lock_server(server_lock, folder, _read_owner(owner_lock))
            if (folder / "log").exists():
                (folder / "log").replace(folder / "log.1")
            lock = DataDirLock(folder, _socket_folder(folder, stack), owner_lock, server_lock)
            lock.publish()
        stack.callback(os.ftruncate, owner_lock, 0)
        yield lock


def find_owner(data_dir: Path, name: str) -> Owner | None:
    """Return the record of the process that runs the server `name`, None if it does not run."""
    try:
        file = os.open(data_dir / name / "owner.lock", os.O_RDONLY)
    except OSError:
        return None
    try:
        return None if _try_lock(file, fcntl.LOCK_SH) else _read_owner(file)
    finally:
        os.close(file)


@contextmanager
def data_dir_errors(data_dir: Path) -> Iterator[None]:
    """Turn an OSError of the block into an EmbeddedError that names the data folder."""
    try:
        yield
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        if error.errno in (errno.EEXIST, errno.ENOTDIR):
            reason = "it, or a folder above it, is a file"
        raise EmbeddedError(
            f"cannot use {data_dir} as the data folder: {reason};"
            " set DATA_DIR to a folder that is writable and has free space"
        ) from error


def _open_lock(path: Path, stack: ExitStack) -> int:
    path.parent.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    stack.callback(os.close, file)
    return file


async def _lock_owner(file: int, data_dir: Path) -> None:
    if not await until(lambda: _try_lock(file, fcntl.LOCK_EX), PROBE_TIME):
        owner = _read_owner(file)
        raise EmbeddedError(
            f"{data_dir} is in use by another copy (process {owner.pid if owner else 'unknown'});"
            " stop it or set DATA_DIR to another folder"
        )


async def _lock_server(file: int, folder: Path, previous: Owner | None) -> None:
    """Wait until servers whose owner was killed have ended, and end those that do not."""
    if await until(lambda: _try_lock(file, fcntl.LOCK_EX), ORPHAN_TIME):
        return
    if previous and previous.server:
        # The lock is held, so this is still the server's id and not another process's.
        with suppress(ProcessLookupError):
            os.kill(previous.server, signal.SIGINT)
    if not await until(lambda: _try_lock(file, fcntl.LOCK_EX), ORPHAN_STOP_TIME):
        raise EmbeddedError(
            f"a server of an earlier run still runs in {folder};"
            " stop it or set DATA_DIR to another folder"
        )


def _socket_folder(folder: Path, stack: ExitStack) -> Path:
    """Return a folder for sockets: the server's, or a temporary one if its path is too long."""
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
    """Return whether sockets in the folder can be bound, and named in URLs and on command lines."""
    length = len(os.fsencode(folder)) + len(LONGEST_SOCKET_NAME)
    return length <= MAX_SOCKET_PATH and str(folder).isprintable() and "," not in str(folder)


def _try_lock(file: int, mode: int) -> bool:
    try:
        fcntl.flock(file, mode | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read_owner(file: int) -> Owner | None:
    try:
        return msgspec.json.decode(os.pread(file, 4096, 0), type=Owner)
    except msgspec.DecodeError:
        return None
