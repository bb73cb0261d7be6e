"""The URL of one Redis server, or of a Redis cluster, comes in; a client of it goes out.

    redis://user:password@host:6379/0       one server; rediss:// with TLS, unix:// by its socket
    redis+cluster://host:6379,host:6379     a cluster, by some of its nodes; rediss+cluster:// too

Both clients speak RESP2, give bytes, and connect at their first command. What works on both:
commands of one key, EVAL of a script of one key, and `pipeline(transaction=False)` of these for
any keys. What does not: `pipeline(transaction=True)`, for which redis-py 8.1 starts a thread and
an event loop for each command to a cluster. What has to be done in one step is a script.
"""

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

# What is raised where Redis, or the part of a cluster that has the key, cannot be used now.
# RuntimeError is what uvloop raises on writing to a connection that the server has closed.
REDIS_ERRORS = (RedisError, RedisClusterException, OSError, TimeoutError, RuntimeError)

PORT = 6379
# What of its users' time a connection has to open or to answer: the client must find out that a
# node hangs before they give up, or it would never look for another.
SHARE = 0.75
ONE_SERVER, CLUSTER = ("redis", "rediss", "unix"), ("redis+cluster", "rediss+cluster")
_URL = re.compile(
    r"(?P<scheme>[a-z+]+)://(?P<user>[^/?#]*@)?(?P<hosts>[^/?#@]*)(?P<path>/[^?#]*)?(?P<query>\?.*)?"
)
_NO_SUCH_OPTION = re.compile(r"unexpected keyword argument '(\w+)'")


@asynccontextmanager
async def redis_client(
    url: str,
    *,
    timeout: float,  # noqa: ASYNC109 - not the block's: each command's
    single_connection: bool = False,
) -> AsyncIterator[RedisClient]:
    """Make a client, closed when the block ends; `timeout` is the seconds its users wait at most.

    `single_connection` gives one server one connection and no pool, which saves 60,000 of the
    265,000 instructions of a command; only one command may run at a time.
    A command whose reply was lost is sent once more: each has to be harmless when it is done twice.
    Raises ValueError where `url_problem` has something to say.
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
    """Raise one of REDIS_ERRORS unless every key can be read and written."""
    if isinstance(client, Redis):
        await client.ping()
        return
    answers: Any = await client.cluster_info(target_nodes=RedisCluster.PRIMARIES)
    for info in [answers] if "cluster_state" in answers else answers.values():
        if info["cluster_state"] != "ok":
            raise RedisClusterException("not all slots of the cluster are served")


async def start_over(client: RedisClient) -> None:
    """Drop the connections that nobody uses: where they led may not be the primary any more.

    A client with `single_connection` has one connection, and the caller does not use it.
    """
    if isinstance(client, Redis):
        await client.connection_pool.disconnect(inuse_connections=client.single_connection_client)


def url_problem(url: str) -> str | None:
    """Say in one line what is wrong with a URL; None where nothing is."""
    try:
        _client(url, timeout=1)
    except ValueError as error:
        return str(error)
    return None


class _ClusterClient(RedisCluster):
    """The client of a cluster, with one habit of redis-py broken.

    Where one node is in trouble, redis-py closes the connections to all of them, under whoever is
    using them, before it asks where the slots are. This one only asks.
    """

    async def initialize(
        self,
        additional_startup_nodes_info: list[tuple[str, int]] | None = None,
        last_failed_node_name: str | None = None,
    ) -> RedisCluster:
        """Learn where the slots are, if that is not known or may have changed."""
        if self._initialize:
            try:
                await self.nodes_manager.initialize(
                    additional_startup_nodes_info, last_failed_node_name
                )
            except RedisClusterException:
                # All nodes may have other addresses now: next time, ask those of the URL too.
                for node in self.startup_nodes:
                    self.nodes_manager.startup_nodes.setdefault(node.name, node)
                raise
            if not self.commands_parser.commands:
                await self.commands_parser.initialize(self.nodes_manager.default_node)
            self._initialize = False
        return self

    async def aclose(self) -> None:
        """Take note that the slots may be elsewhere; redis-py calls this in trouble."""
        self._initialize = True

    async def close_all(self) -> None:
        """Close all connections, for good."""
        self._initialize = True
        await self.nodes_manager.aclose()
        await self.nodes_manager.aclose("startup_nodes")


def _client(url: str, timeout: float, single_connection: bool = False) -> RedisClient:
    parts = _URL.fullmatch(url)
    if parts is None or parts["scheme"] not in ONE_SERVER + CLUSTER:
        raise ValueError(f"must begin with {', '.join(s + '://' for s in ONE_SERVER + CLUSTER)}")
    options: dict[str, Any] = {
        "socket_connect_timeout": SHARE * timeout,
        "socket_timeout": SHARE * timeout,
        "retry": Retry(NoBackoff(), 1),
        "retry_on_error": [RuntimeError],
        "max_connections": 1_000,
        "protocol": 2,
    }
    try:
        if parts["scheme"] in CLUSTER:
            return _cluster(parts, options)
        return _one_server(parts, options | {"single_connection_client": single_connection})
    except (TypeError, RedisError, RedisClusterException) as error:
        unknown = _NO_SUCH_OPTION.search(str(error))
        raise ValueError(f"there is no option {unknown[1]!r}" if unknown else str(error)) from None


def _one_server(parts: re.Match[str], options: dict[str, Any]) -> Redis:
    if parts["scheme"] == "unix":
        if not parts["path"]:
            raise ValueError("unix:// wants the path of a socket")
    else:
        if len(_addresses(parts)) > 1:
            scheme = parts["scheme"]
            raise ValueError(f"several hosts are a cluster: begin with {scheme}+cluster://")
        _database(parts)
    client: Redis = Redis.from_url(parts[0], **options)
    # Made to see whether it takes its options; it does not connect.
    pool = client.connection_pool
    pool.connection_class(**pool.connection_kwargs)
    return client


def _cluster(parts: re.Match[str], options: dict[str, Any]) -> RedisCluster:
    if _database(parts):
        raise ValueError("a cluster has no databases but 0")
    nodes = [ClusterNode(host, port) for host, port in _addresses(parts)]
    scheme = parts["scheme"].removesuffix("+cluster")
    given = dict(parse_url(f"{scheme}://{parts['user'] or ''}/{parts['query'] or ''}"))
    if given.pop("connection_class", None) is SSLConnection:
        given["ssl"] = True
    # Each slot that moved is noted by itself: none of them is worth asking for all.
    return _ClusterClient(startup_nodes=nodes, reinitialize_steps=0, **(options | given))


def _addresses(parts: re.Match[str]) -> list[tuple[str, int]]:
    """Read the hosts and ports; raises ValueError, which never tells a password."""
    try:
        found = [urlsplit(f"//{host}") for host in parts["hosts"].split(",")]
        addresses = [(it.hostname or "", it.port or PORT) for it in found]
    except ValueError:
        raise ValueError(
            "a host is followed by a port from 1 to 65535, an IPv6 address stands in [brackets],"
            " and a password has its special characters percent-encoded"
        ) from None
    if any(not host for host, _ in addresses):
        raise ValueError("a host is missing")
    return addresses


def _database(parts: re.Match[str]) -> int:
    number = (parts["path"] or "").strip("/") or "0"
    if not number.isdecimal():
        raise ValueError("after the host comes nothing, or the number of a database")
    return int(number)
