"""The Host header: only known names are served, so that DNS rebinding reaches nothing."""

import asyncio
from collections.abc import Sequence

import pytest
from msgspec.structs import replace
from yarl import URL

from app.config import Settings
from tests.service import CHAT, Client, running

pytestmark = pytest.mark.anyio

MISDIRECTED = "urn:chrysopedia:problem:misdirected"


async def statuses(service: Client, hosts: Sequence[str]) -> dict[str, int]:
    return {
        host: (await service.call("GET", "/healthz", headers={"Host": host}))[0] for host in hosts
    }


async def raw(service: Client, head: bytes) -> bytes:
    """Send the lines of a request's head; returns the status line."""
    url = URL(service.url)
    assert url.host
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(head.replace(b"\n", b"\r\n") + b"Connection: close\r\n\r\n")
    line = await reader.readline()
    writer.close()
    return line


async def test_this_machine_and_addresses_are_allowed_by_default(service: Client) -> None:
    hosts = (
        "localhost",
        "LOCALHOST:8000",
        "chat.localhost",
        "10.0.0.11:8001",
        "[::1]:80",
        "[fe80::1]",
    )
    assert set((await statuses(service, hosts)).values()) == {200}


async def test_other_names_are_refused_on_every_path(service: Client) -> None:
    for path in (
        "/",
        "/healthz",
        "/readyz",
        "/metrics",
        "/api/v1/creators",
        "/static/0/page.js",
        "/x",
    ):
        status, problem, headers = await service.call(
            "GET", path, headers={"Host": "evil.test:8000"}
        )
        assert (status, problem["type"], problem["status"]) == (421, MISDIRECTED, 421), path
        assert headers["Content-Type"] == "application/problem+json"
        assert headers["X-Request-Id"]
    assert "ALLOWED_HOSTS" in problem["detail"]
    status, _, _ = await service.call(
        "POST", CHAT, json={"query": "?"}, headers={"Host": "evil.test"}
    )
    assert status == 421


async def test_malformed_hosts_are_refused(service: Client) -> None:
    hosts = ("localhost.evil.test", "127.0.0.1.evil.test", "[::1]evil.test", "a@localhost", "*")
    assert set((await statuses(service, hosts)).values()) == {421}


async def test_each_of_several_host_headers_must_be_allowed(service: Client) -> None:
    head = b"GET /healthz HTTP/1.1\nHost: localhost\n"
    assert b" 421 " in await raw(service, head + b"Host: evil.test\n")
    assert b" 200 " in await raw(service, head)


async def test_a_probe_without_a_host_is_served(service: Client) -> None:
    assert b" 200 " in await raw(service, b"GET /healthz HTTP/1.0\n")


async def test_configured_names_are_allowed_too(service_settings: Settings) -> None:
    names = "chat.example.org, *.example.com"
    async with running(replace(service_settings, allowed_hosts=names)) as service:
        assert await statuses(
            service,
            (
                "chat.example.org",
                "Chat.Example.org.:443",
                "a.example.com",
                "localhost",
                "evil.test",
            ),
        ) == {
            "chat.example.org": 200,
            "Chat.Example.org.:443": 200,
            "a.example.com": 200,
            "localhost": 200,
            "evil.test": 421,
        }


async def test_a_name_to_listen_on_is_allowed(service_settings: Settings) -> None:
    # The test's server binds a socket of its own, and ignores `host`.
    async with running(replace(service_settings, host="Chat.internal")) as service:
        assert await statuses(service, ("chat.internal", "other.internal")) == {
            "chat.internal": 200,
            "other.internal": 421,
        }


async def test_a_refused_host_is_counted(service: Client) -> None:
    async def count() -> float:
        name = b'chrysopedia_requests_refused_total{reason="misdirected"} '
        _, text, _ = await service.call("GET", "/metrics")
        return next(
            (float(line[len(name) :]) for line in text.splitlines() if line.startswith(name)), 0
        )

    before = await count()
    await statuses(service, ("evil.test",))
    assert await count() == before + 1
