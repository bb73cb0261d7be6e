"""Check Redis, or a server that speaks its protocol."""

import secrets
from time import perf_counter
from typing import Any

from redis.asyncio import RedisCluster
from redis.exceptions import (
    AuthenticationError,
    MovedError,
    NoPermissionError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)

from app.cli.doctor.report import Report, duration
from app.cli.doctor.servers import location
from app.config import Settings
from app.config_transport import is_local
from app.infra.connection_errors import describe
from app.infra.embedded.valkey import EVICTION_POLICY
from app.infra.redis import CLUSTER_SCHEMES, REDIS_ERRORS, RedisClient, check, redis_client

# Milliseconds until a key that the check writes expires.
KEY_TTL = 5_000
# The fields of INFO that have a server's version, the most specific first.
VERSIONS = {
    "valkey_version": "Valkey",
    "dragonfly_version": "Dragonfly",
    "keydb_version": "KeyDB",
    "redis_version": "Redis",
}
# Characters of a server's error.
MAX_REASON = 200
LOST = "If it restarts, conversations and running answers are lost"


async def check_redis(report: Report, settings: Settings, limit: float) -> None:
    """Check that keys can be read and written, and that the server keeps them."""
    url = settings.redis_url
    started_at = perf_counter()
    async with redis_client(url, timeout=limit) as client:
        try:
            await check(client)
            key = f"doctor:{secrets.token_hex(8)}"
            await client.set(key, b"1", px=KEY_TTL)
            await client.delete(key)
        except REDIS_ERRORS as raised:
            # redis-py wraps the cause in an error without its type.
            cause = raised.__context__
            error = cause if isinstance(cause, RedisError | OSError) else raised
            reason = describe(error, str(error)[:MAX_REASON])
            report.fail("Redis", f"{location(url)}: {reason}", _advice(error, url))
            return
        seconds = perf_counter() - started_at
        info = await _info(client)
        name = next((f"{name} {info[key]}" for key, name in VERSIONS.items() if key in info), "it")
        report.ok("Redis", f"{name} at {location(url)}, reads and writes ({duration(seconds)})")
        _check_cluster(report, url, info)
        _check_tls(report, url)
        if not info:
            report.skip("Redis persistence", "unknown: this user may not run INFO")
            return
        await _check_persistence(report, client, info)
        _check_memory(report, info)


def _advice(error: BaseException, url: str) -> str:
    if isinstance(error, AuthenticationError):
        return "Check the user and the password of REDIS_URL."
    if isinstance(error, NoPermissionError):
        return "Let the user read and write all keys and run scripts: `ACL SETUSER … ~* +@all`."
    if isinstance(error, ReadOnlyError):
        return "This is a replica: set REDIS_URL to the primary."
    if isinstance(error, MovedError):
        return f"This is a node of a cluster: begin REDIS_URL with {CLUSTER_SCHEMES[0]}://."
    tls = " Servers that require TLS need rediss://." if url.startswith("redis") else ""
    return f"Check REDIS_URL, that the server is running, and that this machine may connect.{tls}"


async def _info(client: RedisClient) -> dict[str, Any]:
    """Return the fields of INFO, those of one node of a cluster; empty without permission."""
    options: dict[str, Any] = {}
    if isinstance(client, RedisCluster):
        options["target_nodes"] = client.get_default_node()
    try:
        found: dict[str, Any] = await client.info(**options)
    except ResponseError:
        return {}
    return found


def _check_cluster(report: Report, url: str, info: dict[str, Any]) -> None:
    if url.startswith(CLUSTER_SCHEMES):
        report.ok("Redis cluster", "all slots are served")
    elif info.get("redis_mode") == "cluster" or info.get("cluster_enabled"):
        report.fail(
            "Redis cluster",
            "this server is a node of a cluster, and has only some of the keys",
            f"Begin REDIS_URL with {CLUSTER_SCHEMES[0]}:// (with TLS {CLUSTER_SCHEMES[1]}://).",
        )
    elif info.get("role") == "slave":
        report.fail("Redis cluster", "this server is a replica", "Set REDIS_URL to the primary.")
    else:
        report.ok("Redis cluster", "none: one server")


def _check_tls(report: Report, url: str) -> None:
    if url.startswith("rediss"):
        report.ok("Redis TLS", "the connection is encrypted")
    elif is_local(url):
        report.ok("Redis TLS", "not needed: the server is on this machine")
    else:
        report.warn(
            "Redis TLS",
            "the connection is not encrypted",
            "Begin REDIS_URL with rediss:// unless the network is private.",
        )


async def _check_persistence(report: Report, client: RedisClient, info: dict[str, Any]) -> None:
    check_name = "Redis persistence"
    if info.get("aof_enabled"):
        report.ok(check_name, "append-only file")
        return
    try:
        options: dict[str, Any] = {}
        if isinstance(client, RedisCluster):
            options["target_nodes"] = client.get_default_node()
        saves: Any = await client.config_get("save", **options)
    except ResponseError:
        report.skip(check_name, "no append-only file; this user may not read the other settings")
        return
    if saves.get("save") or saves.get(b"save"):
        report.warn(
            check_name,
            "snapshots only, no append-only file",
            f"{LOST} since the last snapshot: set `appendonly yes` to keep them.",
        )
    else:
        report.warn(check_name, "none", f"{LOST}: set `appendonly yes` to keep them.")


def _check_memory(report: Report, info: dict[str, Any]) -> None:
    limit, policy = info.get("maxmemory"), info.get("maxmemory_policy")
    used = info.get("used_memory_human", "unknown")
    if limit is None or policy is None:
        report.skip("Redis memory", "unknown: INFO has no memory policy")
    elif not limit:
        report.ok("Redis memory", f"no limit, {used} used")
    elif policy == "noeviction":
        report.ok("Redis memory", f"{used} of {info.get('maxmemory_human')} used, no eviction")
    elif policy == EVICTION_POLICY:
        report.ok(
            "Redis memory",
            f"{used} of {info.get('maxmemory_human')} used; when it is full, the conversations that"
            " were not used for the longest time are evicted",
        )
    else:
        report.warn(
            "Redis memory",
            f"{used} of {info.get('maxmemory_human')} used; {policy} evicts keys when it is full",
            "Leases of running answers may be evicted, which ends them: set `maxmemory-policy"
            f" {EVICTION_POLICY}`.",
        )
