"""Observe the resources that workers, Redis and the model use at one moment."""

import os
from pathlib import Path
from time import perf_counter

import aiohttp
import msgspec
from msgspec import Struct
from redis.asyncio import Redis

from tests.bench.observe import cpu_seconds
from tests.soak.model import Stats
from tests.soak.workers import Life


class Process(Struct, frozen=True):
    """A worker's process: MB of memory, seconds of CPU, open files, sockets, threads, tasks."""

    pid: int
    memory: float
    cpu: float
    files: int
    sockets: int
    threads: int
    tasks: int


class Moment(Struct, frozen=True):
    """All observations, `at` seconds after the start; a worker that is restarting is None."""

    at: float
    asking: int
    workers: list[Process | None]
    redis_keys: int
    redis_memory: float
    redis_clients: int
    # Milliseconds of one of these Redis requests.
    redis_took: float
    model: Stats
    # Seconds of CPU used by all processes on this machine.
    machine: float


def process(life: Life) -> Process | None:
    """Observe a worker; None if it has exited."""
    try:
        folder = Path(f"/proc/{life.pid}")
        lines = (folder / "status").read_text().splitlines()
        status = {name: value for name, _, value in (line.partition(":") for line in lines)}
        files = [str(entry.readlink()) for entry in (folder / "fd").iterdir()]
        return Process(
            pid=life.pid,
            memory=int(status["VmRSS"].split()[0]) / 1024,
            cpu=cpu_seconds([life.pid]),
            files=len(files),
            sockets=sum(file.startswith("socket:") for file in files),
            threads=int(status["Threads"]),
            tasks=life.tasks,
        )
    except (OSError, KeyError):
        return None


async def moment(
    at: float, asking: int, lives: list[Life], redis: Redis, http: aiohttp.ClientSession, model: str
) -> Moment:
    """Observe everything; `model` is the URL of the paced model."""
    asked = perf_counter()
    keys = await redis.dbsize()
    took = (perf_counter() - asked) * 1_000
    memory, clients = await redis.info("memory"), await redis.info("clients")
    async with http.get(f"{model}/stats") as reply:
        stats = msgspec.json.decode(await reply.read(), type=Stats)
    return Moment(
        at=at,
        asking=asking,
        workers=[process(life) if life.fate == "runs" else None for life in lives],
        redis_keys=keys,
        redis_memory=memory["used_memory"] / 2**20,
        redis_clients=clients["connected_clients"],
        redis_took=took,
        # Without the connection of this request.
        model=msgspec.structs.replace(stats, connections=stats.connections - 1),
        machine=_busy_seconds(),
    )


def _busy_seconds() -> float:
    user, nice, system, _idle, _waiting, *rest = Path("/proc/stat").read_text().split()[1:9]
    return sum(map(int, (user, nice, system, *rest))) / os.sysconf("SC_CLK_TCK")
