"""Clients of one Redis server or of a Redis cluster, made from a URL.

    redis://user:password@host:6379/0       one server; rediss:// with TLS, unix:// for a socket
    redis+cluster://host:6379,host:6379     a cluster, by some of its nodes; rediss+cluster:// too

Both clients use RESP2, return bytes, and connect at their first command. These work on both:
commands with one key, EVAL of a script with one key, and `pipeline(transaction=False)` of such
commands with any keys. For atomic changes use a script: for `pipeline(transaction=True)` on a
cluster, redis-py 8.1 starts a thread and an event loop per command.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import SSLConnection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisClusterException, RedisError

RedisClient: TypeAlias = Redis | RedisCluster

# Raised if Redis, or the cluster node that has the key, is unavailable. uvloop raises RuntimeError
# on writing to a connection that the server has closed.
REDIS_ERRORS = (RedisError, RedisClusterException, OSError, TimeoutError, RuntimeError)

DEFAULT_PORT = 6379
# A connection's timeouts, as a fraction of the caller's: the client must notice that a node hangs
# before the caller gives up, or it would never discover the new primary.
TIMEOUT_FRACTION = 0.75
SERVER_SCHEMES, CLUSTER_SCHEMES = ("redis", "rediss", "unix"), ("redis+cluster", "rediss+cluster")
_URL = re.compile(
    r"(?P<scheme>[a-z+]+)://(?P<user>[^/?#]*@)?(?P<hosts>[^/?#@]*)(?P<path>/[^?#]*)?(?P<query>\?.*)?"
)
_NOT_ENCODED = (
    "ports must be from 1 to 65535, IPv6 addresses in [brackets], and special characters of a"
    " password percent-encoded"
)
_UNKNOWN_OPTION = re.compile(r"unexpected keyword argument '(\w+)'")


@asynccontextmanager
async def redis_client(
    url: str,
    *,
    timeout: float,  # noqa: ASYNC109 - for each command, not for the block
    single_connection: bool = False,
) -> AsyncIterator[RedisClient]:
    """Yield a client, closed when the block ends; callers wait at most `timeout` seconds.

    With `single_connection` the client of one server has no pool, which saves 60,000 of the
    265,000 instructions of a command; then only one command may run at a time.
    A command whose reply was lost is sent again, so every command must be safe to repeat.
    Raises ValueError if the URL is wrong.
    """
    client = _client(url, timeout, single_connection)
    try:
        yield client
    finally:
        if isinstance(client, _ClusterClient):
            await client.close_all()
        else:
            await client.aclose()


async def check(client: RedisClient) -> None:
    """Raise one of REDIS_ERRORS unless all keys can be read and written."""
    if isinstance(client, Redis):
        await client.ping()
        return
    answers: Any = await client.cluster_info(target_nodes=RedisCluster.PRIMARIES)
    for info in [answers] if "cluster_state" in answers else answers.values():
        if info["cluster_state"] != "ok":
            raise RedisClusterException("the cluster does not serve all slots")


async def drop_idle_connections(client: RedisClient) -> None:
    """Close idle connections, because their server may no longer be the primary.

    The connection of a client with `single_connection` must be idle.
    """
    if isinstance(client, Redis):
        await client.connection_pool.disconnect(inuse_connections=client.single_connection_client)


async def close_idle_connections(client: RedisClient, interval: float) -> None:
    """Close idle connections every `interval` seconds, for ever.

    A burst of commands opens a connection for each, and the pool keeps all of them. A command that
    takes a connection at the same moment is sent again.
    """
    while True:
        await asyncio.sleep(interval)
        if isinstance(client, Redis):
            await client.connection_pool.disconnect(inuse_connections=False)
            continue
        for node in client.get_nodes():
            await node.disconnect_free_connections()


def url_problem(url: str) -> str | None:
    """Return what is wrong with a URL in one line, None if it is valid."""
    try:
        _client(url, timeout=1)
    except ValueError as error:
        return str(error)
    return None


class _ClusterClient(RedisCluster):
    """A cluster client that keeps its connections when a node fails.

    When one node fails, redis-py closes the connections to all nodes, even those in use, before it
    asks for the slots again. This client only asks.
    """

    async def initialize(
        self,
        additional_startup_nodes_info: list[tuple[str, int]] | None = None,
        last_failed_node_name: str | None = None,
    ) -> RedisCluster:
        """Read the map of slots to nodes, if it is unknown or may have changed."""
        if self._initialize:
            try:
                await self.nodes_manager.initialize(
                    additional_startup_nodes_info, last_failed_node_name
                )
            except RedisClusterException:
                # All nodes may have new addresses; next time try those of the URL, too.
                for node in self.startup_nodes:
                    self.nodes_manager.startup_nodes.setdefault(node.name, node)
                raise
            if not self.commands_parser.commands:
                await self.commands_parser.initialize(self.nodes_manager.default_node)
            self._initialize = False
        return self

    async def aclose(self) -> None:
        """Make the next command refresh the slots; redis-py calls this after an error."""
        self._initialize = True

    async def close_all(self) -> None:
        """Close all connections."""
        self._initialize = True
        await self.nodes_manager.aclose()
        await self.nodes_manager.aclose("startup_nodes")


def _client(url: str, timeout: float, single_connection: bool = False) -> RedisClient:
    parts = _URL.fullmatch(url)
    if parts is None or parts["scheme"] not in SERVER_SCHEMES + CLUSTER_SCHEMES:
        raise ValueError(
            f"must begin with {', '.join(s + '://' for s in SERVER_SCHEMES + CLUSTER_SCHEMES)}"
        )
    if "@" in f"{parts['path']}{parts['query']}":
        # What looks like a path or an option may be a part of the password.
        raise ValueError(_NOT_ENCODED)
    options: dict[str, Any] = {
        "socket_connect_timeout": TIMEOUT_FRACTION * timeout,
        "socket_timeout": TIMEOUT_FRACTION * timeout,
        "retry": Retry(NoBackoff(), 1),
        "retry_on_error": [RuntimeError],
        "max_connections": 1_000,
        "protocol": 2,
    }
    try:
        if parts["scheme"] in CLUSTER_SCHEMES:
            return _cluster(parts, options)
        return _one_server(parts, options | {"single_connection_client": single_connection})
    except (TypeError, RedisError, RedisClusterException) as error:
        unknown = _UNKNOWN_OPTION.search(str(error))
        raise ValueError(f"unknown option {unknown[1]!r}" if unknown else str(error)) from None


def _one_server(parts: re.Match[str], options: dict[str, Any]) -> Redis:
    if parts["scheme"] == "unix":
        if not parts["path"]:
            raise ValueError("unix:// must be followed by the path of a socket")
    else:
        if len(_addresses(parts)) > 1:
            scheme = parts["scheme"]
            raise ValueError(f"for several hosts it must begin with {scheme}+cluster://")
        _database(parts)
    client: Redis = Redis.from_url(parts[0], **options)
    # Raises TypeError for unknown options; it does not connect.
    pool = client.connection_pool
    pool.connection_class(**pool.connection_kwargs)
    return client


def _cluster(parts: re.Match[str], options: dict[str, Any]) -> RedisCluster:
    if _database(parts):
        raise ValueError("a cluster has only database 0")
    nodes = [ClusterNode(host, port) for host, port in _addresses(parts)]
    scheme = parts["scheme"].removesuffix("+cluster")
    given = dict(parse_url(f"{scheme}://{parts['user'] or ''}/{parts['query'] or ''}"))
    if given.pop("connection_class", None) is SSLConnection:
        given["ssl"] = True
    # Each move updates its slot, so all slots need not be read again after a number of moves.
    return _ClusterClient(startup_nodes=nodes, reinitialize_steps=0, **(options | given))


def _addresses(parts: re.Match[str]) -> list[tuple[str, int]]:
    """Read the hosts and ports. Raises ValueError, without a password in its message."""
    try:
        found = [urlsplit(f"//{host}") for host in parts["hosts"].split(",")]
        addresses = [(parts.hostname or "", parts.port or DEFAULT_PORT) for parts in found]
    except ValueError:
        raise ValueError(_NOT_ENCODED) from None
    if any(not host for host, _ in addresses):
        raise ValueError("must name a host")
    return addresses


def _database(parts: re.Match[str]) -> int:
    number = (parts["path"] or "").strip("/") or "0"
    if not number.isdecimal():
        raise ValueError("the path must be empty or the number of a database")
    return int(number)
