"""A URL of Redis is understood, or what is wrong with it is said."""

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
def test_what_can_be_used_as_a_url(url: str) -> None:
    assert url_problem(url) is None


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://localhost", "must begin with redis://"),
        ("localhost:6379", "must begin with redis://"),
        ("redis://one,two", "begin with redis+cluster://"),
        ("rediss://one,two", "begin with rediss+cluster://"),
        ("redis://localhost:99999", "a port from 1 to 65535"),
        ("redis://:se/cret@localhost", "special characters percent-encoded"),
        ("redis://localhost/memory", "the number of a database"),
        ("redis://localhost?ssl_cert_reqs=none", "no option 'ssl_cert_reqs'"),
        ("unix://", "the path of a socket"),
        ("redis+cluster://", "a host is missing"),
        ("redis+cluster://one,,two", "a host is missing"),
        ("redis+cluster://one/2", "no databases but 0"),
        ("redis+cluster://one?db=2", "must be 0"),
        ("redis+cluster://one?no_such=1", "no option 'no_such'"),
        ("redis+cluster://one?socket_timeout=soon", "socket_timeout"),
    ],
)
def test_what_is_wrong_with_a_url_is_said_in_a_line(url: str, reason: str) -> None:
    said = url_problem(url) or ""
    assert reason in said
    assert "\n" not in said
    assert "cret" not in said


@pytest.mark.anyio
async def test_the_url_of_a_cluster_says_where_and_as_whom_to_connect() -> None:
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
