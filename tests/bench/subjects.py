"""The servers that are compared, each in its own process.

`service` is this project as in production, `reference` a common stack, `floor` a minimal server.
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
# Seconds for a server to start; long, because valgrind slows it down.
START_TIMEOUT = 180.0
# Limits of the service that a slow measurement must not reach.
RAISED_LIMITS = {
    "MAX_TURNS": "100000",
    "MAX_CONNECTIONS": "100000",
    "MAX_CONNECTIONS_PER_ADDRESS": "0",
    "RATE_LIMIT": "0",
    "TURNS_AT_ONCE": "0",
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
# With AUTH=on in the environment the service checks the key that all requests carry, and counts
# them.
GUARDED = {"AUTH": "on", "RATE_LIMIT": "1000000", "TURNS_AT_ONCE": "1000000"}
NO_SETTINGS: Mapping[str, str] = {}


class Environment(Struct, frozen=True):
    """What servers connect to, the reference's Python, cores, the service's secret and a key."""

    database_url: str
    redis_url: str
    model_port: int
    reference_python: Path
    server_cores: frozenset[int]
    other_cores: frozenset[int]
    secret: bytes = b""
    key: str = ""


class Subject(Struct, frozen=True):
    """A running server; `path` is its chat endpoint, `started_in` its startup time in seconds."""

    name: str
    pid: int
    port: int
    path: str
    started_in: float


@asynccontextmanager
async def subject(
    name: str,
    environment: Environment,
    wrapper: Sequence[str] = (),
    *,
    runner: Sequence[str] = (),
    settings: Mapping[str, str] = NO_SETTINGS,
) -> AsyncIterator[Subject]:
    """Run a server on its own core, and kill it afterwards.

    A `wrapper` command starts its Python; a `runner` script starts its module. `settings` are
    further environment variables.
    """
    port, started = free_ports(1)[0], perf_counter()
    # Shown only if the server fails to start.
    with tempfile.TemporaryFile() as log:
        process = await asyncio.create_subprocess_exec(
            *wrapper,
            *_command(name, environment, port, runner),
            cwd=REFERENCE if name == "reference" else PROJECT,
            env={**_variables(environment, port), **settings},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        # It has only one thread yet.
        os.sched_setaffinity(process.pid, environment.server_cores)
        try:
            if not await _responds(process, port):
                log.seek(0)
                raise RuntimeError(f"{name} exited: {log.read().decode()[-2_000:]}")
            path = "/chat" if name == "reference" else "/api/v1/chat"
            yield Subject(name, process.pid, port, path, perf_counter() - started)
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def import_command(name: str, environment: Environment) -> tuple[str, ...]:
    """Return a command that only imports a server."""
    module = {"reference": "service", "service": "app.cli.serve", "floor": "tests.bench.floor"}[
        name
    ]
    python = str(environment.reference_python) if name == "reference" else sys.executable
    return (python, "-c", f"import {module}")


def _command(
    name: str, environment: Environment, port: int, runner: Sequence[str]
) -> tuple[str, ...]:
    python = str(environment.reference_python) if name == "reference" else sys.executable
    module: tuple[str, ...] = ("app", "serve")
    if name == "floor":
        module = ("tests.bench.floor", str(port), str(environment.model_port))
    if name == "reference":
        quick = ("--loop", "uvloop", "--http", "httptools")
        quiet = ("--no-access-log", "--log-level", "warning")
        module = ("uvicorn", "service:app", *quick, *quiet, "--port", str(port))
    return (python, *runner, "-m", *module)


def _variables(environment: Environment, port: int) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "PORT": str(port),
        "LOG_FORMAT": "json",
        "DATABASE_URL": environment.database_url,
        "REDIS_URL": environment.redis_url,
        "LLM_BASE_URL": f"http://127.0.0.1:{environment.model_port}/v1",
        "LLM_MODEL": "scripted",
        "EMBEDDING_MODEL": os.environ.get("EMBEDDING_MODEL", "none"),
        # Reproducible instruction counts.
        "PYTHONHASHSEED": "0",
        "UV_USE_IO_URING": "0",
        **RAISED_LIMITS,
        **(GUARDED if os.environ.get("AUTH") == "on" else {}),
    }


async def _responds(process: asyncio.subprocess.Process, port: int) -> bool:
    """Wait until a server responds; return False if it exits instead."""
    async with asyncio.timeout(START_TIMEOUT):
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
