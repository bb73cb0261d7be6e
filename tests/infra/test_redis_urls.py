"""Redis URLs: which are accepted, and how wrong ones are explained."""

import pytest
from redis.asyncio import RedisCluster

from app.infra.redis import redis_client, url_problem

GOOD = """
redis://localhost
redis://:secret@localhost:6380/3
redis://localhost?socket_timeout=2
rediss://user:p%40ss@localhost:6380?ssl_cert_reqs=none
unix:///run/redis.sock?db=2
redis+cluster://localhost
redis+cluster://user:p%40ss@one:7001,[::1]:7002,three/0?socket_timeout=2
rediss+cluster://one,two?ssl_cert_reqs=none
"""


@pytest.mark.parametrize("url", GOOD.split())
def test_valid_urls_have_no_problem(url: str) -> None:
    assert url_problem(url) is None


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://localhost", "redis://"),
        ("localhost:6379", "redis://"),
        ("redis://one,two", "redis+cluster://"),
        ("rediss://one,two", "rediss+cluster://"),
        ("redis://localhost:99999", "port"),
        ("redis://:se/cret@localhost", "percent-encoded"),
        ("redis://:1?secret=@localhost", "percent-encoded"),
        ("redis://localhost/memory", "number of a database"),
        ("redis://localhost?ssl_cert_reqs=none", "'ssl_cert_reqs'"),
        ("unix://", "path of a socket"),
        ("redis+cluster://", "host"),
        ("redis+cluster://one,,two", "host"),
        ("redis+cluster://one/2", "database"),
        ("redis+cluster://one?db=2", "must be 0"),
        ("redis+cluster://one?no_such=1", "'no_such'"),
        ("redis+cluster://one?socket_timeout=soon", "socket_timeout"),
    ],
)
def test_a_wrong_url_is_explained_in_one_line_without_its_password(url: str, problem: str) -> None:
    explained = url_problem(url) or ""
    assert problem in explained
    assert "\n" not in explained
    assert "cret" not in explained


@pytest.mark.anyio
async def test_a_cluster_url_has_hosts_credentials_and_options() -> None:
    url = "rediss+cluster://user:p%40ss@one:7001,[::1]:7002,three?ssl_cert_reqs=none"
    async with redis_client(url, timeout=1) as redis:
        assert isinstance(redis, RedisCluster)
        nodes = redis.startup_nodes
        assert [(node.host, node.port) for node in nodes] == [
            ("one", 7001),
            ("::1", 7002),
            ("three", 6379),
        ]
        options = redis.get_connection_kwargs()
        assert (options["username"], options["password"]) == ("user", "p@ss")
        assert (options["ssl_cert_reqs"], options["socket_timeout"]) == ("none", 0.75)
