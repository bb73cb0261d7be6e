"""Run commands as child processes, with given settings and no others."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import aiohttp
import anyio
from msgspec import Struct

from tests.service import Client


def run(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(  # noqa: S603
        [sys.executable, "-m", "app", *arguments],
        env={"PATH": os.environ["PATH"], **settings},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def refusal(status: int = 1, /, **settings: str) -> str:
    """Run `serve`, which must exit with this status; returns the only line it prints."""
    done = run("serve", **{"PORT": "0", **settings})
    assert (done.stdout, done.returncode) == ("", status), done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


class Service(Struct, frozen=True):
    """A running `serve`: its process, a client of it, and what it printed once it was started."""

    process: subprocess.Popen[str]
    client: Client
    greeting: str


@asynccontextmanager
async def serving(**settings: str) -> AsyncIterator[Service]:
    """Run `serve` on a free port for the length of the block; killed if it has not ended."""
    with _process(**settings) as process:
        # Standard error, which the test may want to read later, is short enough for its pipe.
        greeting = await anyio.to_thread.run_sync(_read_greeting, process)
        found = re.search(r"running at (\S+)", greeting)
        assert found, greeting
        async with aiohttp.ClientSession() as http:
            yield Service(process, Client(http, found[1]), greeting)


async def end(service: Service, number: signal.Signals = signal.SIGTERM) -> str:
    """Send a signal, wait for a clean exit, and return what was written to standard error."""
    service.process.send_signal(number)
    _, errors = await anyio.to_thread.run_sync(lambda: service.process.communicate(timeout=30))
    assert service.process.returncode == 0, errors
    return errors


@contextmanager
def _process(**settings: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-m", "app", "serve"],
        env={"PATH": os.environ["PATH"], "PORT": "0", **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _read_greeting(process: subprocess.Popen[str]) -> str:
    """Read to the greeting's last line, which names Ctrl-C."""
    assert process.stdout
    greeting = ""
    while "Ctrl-C" not in greeting:
        line = process.stdout.readline()
        assert line, process.stderr and process.stderr.read()
        greeting += line
    return greeting
