"""The three measured servers, each in a process of its own.

`service` is this project as in production, `reference` the usual stack, `floor` the minimum.
"""

import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from time import perf_counter

from msgspec import Struct

from tests.servers import free_ports

PROJECT = Path(__file__).parents[2]
REFERENCE = Path(__file__).parent / "reference"
NAMES = ("reference", "service", "floor")
# Seconds for a server to start, which is slow under valgrind.
START_LIMIT = 180.0
# Timeouts and limits of the service that a slow measurement must not reach.
PATIENCE = {
    "MAX_TURNS": "100000",
    "DATABASE_TIMEOUT": "120",
    "MEMORY_TIMEOUT": "60",
    "EMBEDDING_TIMEOUT": "60",
    "LLM_CONNECT_TIMEOUT": "60",
    "LLM_FIRST_TOKEN_TIMEOUT": "600",
    "LLM_SILENCE_TIMEOUT": "600",
    "LLM_ANSWER_TIMEOUT": "1200",
    "SEND_TIMEOUT": "120",
    "BODY_TIMEOUT": "60",
    "TURN_LEASE": "60",
}


NONE: Mapping[str, str] = {}


class Surroundings(Struct, frozen=True):
    """Addresses of database, Redis and model; the reference's Python; the cores."""

    database_url: str
    redis_url: str
    model_port: int
    reference_python: Path
    server_cores: frozenset[int]
    other_cores: frozenset[int]


class Subject(Struct, frozen=True):
    """A running server: its process, port, path, and the seconds that it took to start."""

    name: str
    pid: int
    port: int
    path: str
    started_in: float


@asynccontextmanager
async def subject(
    name: str,
    around: Surroundings,
    wrapper: Sequence[str] = (),
    *,
    runner: Sequence[str] = (),
    settings: Mapping[str, str] = NONE,
) -> AsyncIterator[Subject]:
    """Run a server on its own core, with additional settings, and kill it afterwards.

    A `wrapper` starts its Python; its Python starts a `runner` with the module's name.
    """
    port, began = free_ports(1)[0], perf_counter()
    # The server's output matters only if it exits too early.
    with tempfile.TemporaryFile() as log:
        process = await asyncio.create_subprocess_exec(
            *wrapper,
            *_command(name, around, port, runner),
            cwd=REFERENCE if name == "reference" else PROJECT,
            env={**_environment(around, port), **settings},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=lambda: os.sched_setaffinity(0, around.server_cores),
        )
        try:
            if not await _answers(process, port):
                log.seek(0)
                raise RuntimeError(f"{name} ended: {log.read().decode()[-2_000:]}")
            path = "/chat" if name == "reference" else "/api/v1/chat"
            yield Subject(name, process.pid, port, path, perf_counter() - began)
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def import_command(name: str, around: Surroundings) -> tuple[str, ...]:
    """Return a command that only imports a server."""
    module = {"reference": "service", "service": "app.cli.serve", "floor": "tests.bench.floor"}[
        name
    ]
    python = str(around.reference_python) if name == "reference" else sys.executable
    return (python, "-c", f"import {module}")


def _command(name: str, around: Surroundings, port: int, runner: Sequence[str]) -> tuple[str, ...]:
    python = str(around.reference_python) if name == "reference" else sys.executable
    module: tuple[str, ...] = ("app", "serve")
    if name == "floor":
        module = ("tests.bench.floor", str(port), str(around.model_port))
    if name == "reference":
        quick = ("--loop", "uvloop", "--http", "httptools")
        quiet = ("--no-access-log", "--log-level", "warning")
        module = ("uvicorn", "service:app", *quick, *quiet, "--port", str(port))
    return (python, *runner, "-m", *module)


def _environment(around: Surroundings, port: int) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "PORT": str(port),
        "LOG_FORMAT": "json",
        "DATABASE_URL": around.database_url,
        "REDIS_URL": around.redis_url,
        "LLM_BASE_URL": f"http://127.0.0.1:{around.model_port}/v1",
        "LLM_MODEL": "scripted",
        # For the same instructions each time.
        "PYTHONHASHSEED": "0",
        "UV_USE_IO_URING": "0",
        **PATIENCE,
    }


async def _answers(process: asyncio.subprocess.Process, port: int) -> bool:
    """Wait until a server answers; returns False if it exits instead."""
    async with asyncio.timeout(START_LIMIT):
        while process.returncode is None:
            with suppress(OSError, asyncio.IncompleteReadError):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
                head = await reader.readuntil(b"\r\n\r\n")
                writer.close()
                if head.startswith(b"HTTP/1.1 200 "):
                    return True
            await asyncio.sleep(0.005)
    return False
