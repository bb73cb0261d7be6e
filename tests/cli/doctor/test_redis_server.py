"""`doctor` checks that Redis can be written, and keeps what is written."""

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from app.cli.doctor.redis_server import check_redis
from app.cli.doctor.report import Report
from app.config import Settings
from tests.cli.doctor.findings import FAILED, OK, SKIPPED, new_report, row, statuses
from tests.cluster import cluster
from tests.servers import OwnServer

pytestmark = pytest.mark.anyio


async def check(url: str) -> Report:
    report = new_report()
    await check_redis(report, Settings(redis_url=url), limit=2)
    return report


@pytest.fixture
async def own(own_valkey: OwnServer) -> AsyncIterator[Redis]:
    """A client of a server that the test may configure."""
    async with Redis.from_url(own_valkey.url) as client:
        yield client


async def test_a_good_server_has_no_findings_and_no_new_keys(redis_url: str) -> None:
    report = await check(redis_url)
    assert set(statuses(report).values()) == {OK}
    assert "Valkey" in row(report, "Redis").finding
    async with Redis.from_url(redis_url) as client:
        assert await client.dbsize() == 0


@pytest.mark.parametrize(
    ("url", "finding"),
    [
        ("redis://user:secret@127.0.0.1:1/0", "127.0.0.1:1: connection refused"),
        ("unix:///nowhere.sock", "/nowhere.sock: no such file or directory"),
        ("redis+cluster://127.0.0.1:1", "127.0.0.1:1: connection refused"),
        ("redis://host.invalid", "host.invalid: the host name is not known"),
    ],
)
async def test_a_server_that_cannot_be_reached_fails(url: str, finding: str) -> None:
    report = await check(url)
    assert statuses(report) == {"Redis": FAILED}
    assert row(report, "Redis").finding.startswith(finding)
    assert "secret" not in str(report.rows)


async def test_memory_and_persistence_settings_that_lose_data_are_warnings(
    own: Redis, own_valkey: OwnServer
) -> None:
    await own.config_set("maxmemory", "100mb")
    assert row(await check(own_valkey.url), "Redis memory").status is OK
    await own.config_set("maxmemory-policy", "volatile-lru")
    assert row(await check(own_valkey.url), "Redis memory").status is OK
    await own.config_set("maxmemory-policy", "allkeys-lru")
    await own.config_set("appendonly", "no")
    report = await check(own_valkey.url)
    assert "allkeys-lru evicts" in row(report, "Redis memory").finding
    assert row(report, "Redis persistence").finding == "none"
    await own.config_set("save", "60 1")
    assert "snapshots" in row(await check(own_valkey.url), "Redis persistence").finding


async def test_a_replica_fails(own: Redis, own_valkey: OwnServer) -> None:
    await own.replicaof("127.0.0.1", "1")
    report = await check(own_valkey.url)
    assert "replica" in row(report, "Redis").advice


async def test_permissions_are_checked(own: Redis, own_valkey: OwnServer) -> None:
    allowed = ["+@read", "+ping"]
    await own.acl_setuser("reader", enabled=True, passwords="+secret", keys="*", commands=allowed)
    limited = own_valkey.url.replace("unix://", "unix://reader:secret@")
    assert "ACL SETUSER" in row(await check(limited), "Redis").advice
    await own.acl_setuser("reader", enabled=True, commands=["+@write", "+client"])
    assert statuses(await check(limited))["Redis persistence"] is SKIPPED
    report = await check(own_valkey.url.replace("unix://", "unix://reader:wrong@"))
    assert row(report, "Redis").advice == "Check the user and the password of REDIS_URL."
    assert "secret" not in str(report.rows)


async def test_a_cluster_is_recognised() -> None:
    async with cluster() as nodes:
        report = await check(nodes.url)
        assert row(report, "Redis cluster").finding == "all slots are served"
        assert FAILED not in statuses(report).values()
        one = nodes.url.replace("redis+cluster://", "redis://").split(",")[0]
        report = await check(one)
        assert FAILED in statuses(report).values()
        assert "redis+cluster://" in str(report.rows)
