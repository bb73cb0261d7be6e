"""Limits on connections: how many, from whom, and what is logged and counted."""

import logging
import resource
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from ipaddress import ip_network

import anyio
import pytest

from app.cli.connections import RESERVED_FILES, ConnectionLimits, Connections
from app.config import Settings
from app.infra.embedded.wait import until
from app.services.metrics.registry import CONNECTION_LIMITS, Metrics
from tests.cli.raw_client import connect, get
from tests.service import Client, running

pytestmark = pytest.mark.anyio

MANY = 1 << 20


def limits(worker: int = MANY, per_address: int = 0, files: int = MANY) -> ConnectionLimits:
    return ConnectionLimits(worker, per_address, files)


def refused(metrics: Metrics) -> dict[str, float]:
    """Return how many connections were refused, by limit."""
    return {
        limit: metrics.registry.get_sample_value(
            "chrysopedia_connections_refused_total", {"limit": limit}
        )
        or 0
        for limit in CONNECTION_LIMITS
    }


@asynccontextmanager
async def full(service: Client, count: int) -> AsyncIterator[None]:
    """Keep this many connections open that have been served."""
    async with AsyncExitStack() as stack:
        for _ in range(count):
            reader, writer = await stack.enter_async_context(connect(service))
            writer.write(get("/healthz"))
            assert b" 200 OK" in await reader.readuntil(b"ok\n")
        yield


@pytest.mark.parametrize("limit", [limits(worker=2), limits(per_address=2)])
async def test_connection_over_a_limit_is_refused_until_another_ends(
    model_settings: Settings, limit: ConnectionLimits
) -> None:
    async with running(model_settings, limit) as service:
        async with full(service, 2), connect(service) as (reader, _):
            reply = await reader.read()
            assert reply.startswith(b"HTTP/1.1 503 ")
            assert reply.endswith(b"Too many connections. Try again in a few seconds.")
        with anyio.fail_after(10):
            while b" 200 OK" not in reply:
                async with connect(service) as (reader, writer):
                    writer.write(get("/healthz", b"Connection: close\r\n"))
                    reply = await reader.read()


async def test_connection_is_refused_before_descriptors_run_out(model_settings: Settings) -> None:
    few = limits(files=RESERVED_FILES + 1)
    async with running(model_settings, few) as service, connect(service) as (reader, _):
        assert (await reader.read()).startswith(b"HTTP/1.1 503 ")


async def test_proxies_have_no_limit_of_their_own() -> None:
    metrics = Metrics()
    trusted = [ip_network("10.0.0.0/8"), ip_network("2001:db8::1")]
    connections = Connections(ConnectionLimits(MANY, 1, MANY, trusted))

    def admitted(address: str) -> list[bool]:
        return [connections.admit(connections.caller(address), 3, metrics) for _ in range(2)]

    assert admitted("10.1.2.3") == admitted("2001:db8::1") == [True, True]
    assert admitted("192.0.2.1") == admitted("192.0.2.2") == [True, False]
    assert admitted("2001:db8:0:1::1") == [True, False]
    assert admitted("2001:db8:0:1:ffff::2") == [False, False], "the same network"
    assert refused(metrics) == {"worker": 0, "address": 5, "files": 0}


async def test_refused_connections_are_logged_in_one_line_per_interval(
    caplog: pytest.LogCaptureFixture,
) -> None:
    metrics = Metrics()
    connections = Connections(limits(worker=0), log_interval=0.05)
    with caplog.at_level(logging.WARNING):
        for descriptor in (3, 3, 3, MANY):
            assert not connections.admit(None, descriptor, metrics)
        assert caplog.messages == ["connections refused: 1 over MAX_CONNECTIONS"]
        assert await until(lambda: len(caplog.messages) == 2, 10)
    assert caplog.messages[1:] == [
        "connections refused: 2 over MAX_CONNECTIONS, 1 for lack of file descriptors"
    ]
    assert refused(metrics) == {"worker": 3, "address": 0, "files": 1}


def test_default_limit_leaves_descriptors_for_models() -> None:
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    assert 1 <= ConnectionLimits.of_process(None, 0).worker <= files // 2
    assert ConnectionLimits.of_process(7, 0).worker == 7
