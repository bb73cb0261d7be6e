"""Snapshots of the resources that workers, Redis and the model use."""

import os
from pathlib import Path
from time import perf_counter

import aiohttp
import msgspec
from msgspec import Struct
from redis.asyncio import Redis

from tests.bench.observe import cpu_seconds
from tests.soak.model import Stats
from tests.soak.workers import WorkerProcess


class WorkerUsage(Struct, frozen=True):
    """Resources of a worker: resident memory in MB, CPU time in seconds, and counts."""

    pid: int
    memory: float
    cpu: float
    files: int
    sockets: int
    threads: int
    tasks: int


class Snapshot(Struct, frozen=True):
    """Resources `at` seconds after the start; a worker that is being restarted is None."""

    at: float
    active_clients: int
    workers: list[WorkerUsage | None]
    redis_keys: int
    redis_memory: float
    redis_clients: int
    redis_latency_ms: float
    model: Stats
    # CPU seconds used on the whole machine, including by unrelated processes.
    machine_cpu: float


def worker_usage(worker: WorkerProcess) -> WorkerUsage | None:
    """Return a worker's resources, or None if it has exited."""
    try:
        folder = Path(f"/proc/{worker.pid}")
        lines = (folder / "status").read_text().splitlines()
        status = {name: value for name, _, value in (line.partition(":") for line in lines)}
        files = [str(entry.readlink()) for entry in (folder / "fd").iterdir()]
        return WorkerUsage(
            pid=worker.pid,
            memory=int(status["VmRSS"].split()[0]) / 1024,
            cpu=cpu_seconds([worker.pid]),
            files=len(files),
            sockets=sum(file.startswith("socket:") for file in files),
            threads=int(status["Threads"]),
            tasks=worker.tasks,
        )
    except (OSError, KeyError):
        return None


async def snapshot(
    at: float,
    active_clients: int,
    workers: list[WorkerProcess],
    redis: Redis,
    http: aiohttp.ClientSession,
    model: str,
) -> Snapshot:
    """Take a snapshot; `model` is the URL of the paced model."""
    started = perf_counter()
    keys = await redis.dbsize()
    latency_ms = (perf_counter() - started) * 1_000
    memory, clients = await redis.info("memory"), await redis.info("clients")
    async with http.get(f"{model}/stats") as reply:
        stats = msgspec.json.decode(await reply.read(), type=Stats)
    return Snapshot(
        at=at,
        active_clients=active_clients,
        workers=[worker_usage(one) if one.state == "running" else None for one in workers],
        redis_keys=keys,
        redis_memory=memory["used_memory"] / 2**20,
        redis_clients=clients["connected_clients"],
        redis_latency_ms=latency_ms,
        # Not counting the connection of this request.
        model=msgspec.structs.replace(stats, connections=stats.connections - 1),
        machine_cpu=_busy_seconds(),
    )


def _busy_seconds() -> float:
    user, nice, system, _idle, _waiting, *rest = Path("/proc/stat").read_text().split()[1:9]
    return sum(map(int, (user, nice, system, *rest))) / os.sysconf("SC_CLK_TCK")
