"""One server as a child process: a command in; started, waited for, and stopped in good order."""

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio

from app.infra.embedded.data_dir_lock import Claim, EmbeddedError
from app.infra.embedded.wait import until

# Seconds. Recovery after a power cut may take long; a stop may not.
START_LIMIT, STOP_LIMIT = 120, 20
FULL = ("No space left on device", "wrote only")
GRAVE = ("FATAL", "PANIC", "ERROR", "error:", "Error:")


@asynccontextmanager
async def running(
    claim: Claim,
    command: list[str],
    ready: Callable[[], bool],
    *,
    unprivileged: Path | None = None,
) -> AsyncIterator[int]:
    """Run a server for the length of the block, which begins when it is ready; yields its pid.

    `unprivileged` is the data folder of a server that refuses root.
    Raises EmbeddedError, with the last word of its log, where it does not start.
    """
    process = _launch(claim, command, unprivileged)
    try:
        in_time = await until(lambda: process.poll() is not None or ready(), START_LIMIT)
        if process.poll() is not None or not in_time:
            raise failure(claim)
        yield process.pid
    finally:
        await _stop(process)


async def run(claim: Claim, command: list[str], *, unprivileged: Path) -> None:
    """Run a command to its end; raises EmbeddedError where it fails."""
    process = _launch(claim, command, unprivileged)
    try:
        if not await until(lambda: process.poll() is not None, START_LIMIT) or process.returncode:
            raise failure(claim)
    finally:
        await _stop(process)


def failure(claim: Claim) -> EmbeddedError:
    """Word why a server did not start, as its log has it."""
    text = claim.log.read_text(errors="replace") if claim.log.exists() else ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if any(word in line for line in lines for word in FULL):
        return EmbeddedError(
            f"the disk that holds {claim.folder} is full;"
            " free some space or set DATA_DIR to a folder on another disk"
        )
    telling = [line for line in lines if any(word in line for word in GRAVE)]
    last = (telling or lines or ["it said nothing"])[-1]
    return EmbeddedError(
        f"the embedded server in {claim.folder} did not start: {last} (its log: {claim.log})"
    )


def _launch(claim: Claim, command: list[str], unprivileged: Path | None) -> subprocess.Popen[bytes]:
    """Start a command that writes to the claim's log and ends with the thread that called.

    The server's lock is inherited, so it is held for as long as any process of its family lives.
    """
    launcher = Path(__file__).with_name("launcher.py")
    arguments = [str(os.getpid()), str(unprivileged or ""), *command]
    with claim.log.open("ab") as log:
        return subprocess.Popen(  # noqa: S603 - no shell, and every word of it is ours
            [sys.executable, "-I", "-S", str(launcher), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=claim.folder,
            pass_fds=[claim.server_lock],
            start_new_session=True,  # Ctrl-C at the terminal is the parent's alone
        )


async def _stop(process: subprocess.Popen[bytes]) -> None:
    """End a server cleanly (SIGINT is a fast shutdown to both), or else by force."""
    with anyio.CancelScope(shield=True):
        process.send_signal(signal.SIGINT)
        if not await until(lambda: process.poll() is not None, STOP_LIMIT):
            process.kill()
            process.wait()
