"""Run a server as a child process: start it, wait until it is ready, and stop it cleanly."""

import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio

from app.infra.embedded.data_dir_lock import DataDirLock, EmbeddedError
from app.infra.embedded.wait import until

# Seconds. Recovery after a power failure may be slow.
START_TIMEOUT, STOP_TIMEOUT = 120, 20
DISK_FULL = ("No space left on device", "wrote only")
ERROR_MARKS = ("FATAL", "PANIC", "ERROR", "error:", "Error:")


@asynccontextmanager
async def running(
    lock: DataDirLock,
    command: list[str],
    ready: Callable[[], bool],
    *,
    data_of_unprivileged: Path | None = None,
) -> AsyncIterator[int]:
    """Run a server within the block, which is entered when the server is ready; yields its pid.

    `data_of_unprivileged` is the data of a server that refuses to run as root. Raises
    EmbeddedError, with the last error of its log, if it does not start.
    """
    process = _launch(lock, command, data_of_unprivileged)
    lock.publish(process.pid)
    try:
        in_time = await until(lambda: process.poll() is not None or ready(), START_TIMEOUT)
        if process.poll() is not None or not in_time:
            raise start_error(lock)
        yield process.pid
    finally:
        await _stop(process)


async def run(lock: DataDirLock, command: list[str], *, data_of_unprivileged: Path) -> None:
    """Run a command to its end. Raises EmbeddedError if it fails."""
    process = _launch(lock, command, data_of_unprivileged)
    try:
        ended = await until(lambda: process.poll() is not None, START_TIMEOUT)
        if not ended or process.returncode:
            raise start_error(lock)
    finally:
        await _stop(process)


def start_error(lock: DataDirLock) -> EmbeddedError:
    """Return the error of a server that did not start, with the reason from its log."""
    text = lock.log.read_text(errors="replace") if lock.log.exists() else ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if any(mark in line for line in lines for mark in DISK_FULL):
        return EmbeddedError(
            f"the disk that holds {lock.folder} is full;"
            " free some space or set DATA_DIR to a folder on another disk"
        )
    errors = [line for line in lines if any(mark in line for mark in ERROR_MARKS)]
    reason = (errors or lines or ["its log is empty"])[-1]
    return EmbeddedError(
        f"the embedded server in {lock.folder} did not start: {reason} (its log: {lock.log})"
    )


def _launch(
    lock: DataDirLock, command: list[str], data_of_unprivileged: Path | None
) -> subprocess.Popen[bytes]:
    """Start a command that logs to the lock's log file and ends with the calling thread.

    It inherits the server lock, which is therefore held while any of its processes lives.
    """
    with lock.log.open("ab") as log:
        return subprocess.Popen(  # noqa: S603
            [*_wrapper(data_of_unprivileged), *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=lock.folder,
            pass_fds=[lock.server_lock],
            start_new_session=True,  # Ctrl-C in the terminal must reach the parent only.
        )


def _wrapper(data_of_unprivileged: Path | None) -> list[str]:
    """Return the prefix of the command: a program that starts the server, and its options.

    `setpriv` (Linux) makes the kernel end the server when the thread that started it ends, and
    runs it as `nobody` if we are root. Without `setpriv`, the next start ends an orphaned server.
    """
    setpriv = shutil.which("setpriv")
    wrapper = [setpriv, "--pdeathsig", "INT"] if setpriv else []
    if data_of_unprivileged and os.geteuid() == 0:
        if setpriv is None:
            raise EmbeddedError(
                "PostgreSQL does not run as root; install setpriv (util-linux), run as another"
                " user, or set DATABASE_URL"
            )
        nobody = pwd.getpwnam("nobody")
        _change_owner(data_of_unprivileged, nobody)
        wrapper += [f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"]
        # The folders above the data, and the programs, may be accessible only to root.
        wrapper += ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
        # Otherwise access(2), which initdb calls, ignores the capability.
        wrapper += ["--securebits=+no_setuid_fixup"]
    return wrapper


def _change_owner(folder: Path, user: pwd.struct_passwd) -> None:
    """Change the owner of a folder's contents, then of the folder, which marks completion."""
    if folder.stat().st_uid != user.pw_uid:
        for path in (*folder.rglob("*"), folder):
            os.lchown(path, user.pw_uid, user.pw_gid)


async def _stop(process: subprocess.Popen[bytes]) -> None:
    """Stop a server cleanly (SIGINT is a fast shutdown for both), or kill it after STOP_TIMEOUT."""
    with anyio.CancelScope(shield=True):
        process.send_signal(signal.SIGINT)
        if not await until(lambda: process.poll() is not None, STOP_TIMEOUT):
            process.kill()
            process.wait()
