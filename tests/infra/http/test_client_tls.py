"""The HTTP client over TLS and through proxies, on real sockets."""

import asyncio
import ssl
from base64 import b64encode
from contextlib import closing
from pathlib import Path

import pytest

from app.infra.http.client import HTTPClient
from app.infra.http.endpoint import Endpoint
from app.infra.http.errors import BadResponse
from tests.raw_server import RawServer, Reader, Writer, proxy, raw_server, replies

pytestmark = pytest.mark.anyio

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
USER = "Basic " + b64encode(b"me:p@ss").decode()


@pytest.fixture
def serving(certificate: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context


@pytest.fixture
def trusting(certificate: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certificate)


async def post(client: HTTPClient, endpoint: Endpoint) -> bytes:
    until = asyncio.get_running_loop().time() + 5
    response = await client.post(endpoint, b"?", connect_timeout=5, until=until)
    with closing(response):
        return await response.read(until, 100)


async def test_a_tls_connection_sends_the_host_name_and_is_kept(
    serving: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    names: list[str | None] = []
    serving.sni_callback = lambda connection, name, context: names.append(name)
    async with raw_server(replies(OK), tls=serving) as server, HTTPClient(tls=trusting) as client:
        for _ in range(2):
            assert await post(client, server.endpoint("localhost")) == b"hi"
    assert (server.connections, names, server.secure) == (1, ["localhost"], ["http/1.1"])


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_a_server_with_an_untrusted_certificate_receives_no_request(
    serving: ssl.SSLContext, trusting: ssl.SSLContext, host: str
) -> None:
    tls = None if host == "localhost" else trusting
    async with raw_server(replies(OK), tls=serving) as server, HTTPClient(tls=tls) as client:
        with pytest.raises(ssl.SSLCertVerificationError):
            await post(client, server.endpoint(host))
    assert server.requests == []


async def test_a_server_without_tls_fails(trusting: ssl.SSLContext) -> None:
    async def refuses(server: RawServer, reader: Reader, writer: Writer) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with raw_server(refuses) as server, HTTPClient(tls=trusting) as client:
        with pytest.raises(ssl.SSLError):
            await post(client, Endpoint.of(f"https://localhost:{server.port}"))


def through(server: RawServer, scheme: str = "http") -> dict[str, str]:
    return {"all": f"{scheme}://me:p%40ss@localhost:{server.port}"}


async def test_a_proxy_receives_the_absolute_url() -> None:
    endpoint = Endpoint.of("http://model.test/v1", {"X-Key": "k"})
    async with raw_server(replies(OK)) as server, HTTPClient(through(server)) as client:
        for _ in range(2):
            assert await post(client, endpoint) == b"hi"
    assert server.connections == 1
    start, *headers = server.requests[0].strip().split("\r\n")
    assert start == "POST http://model.test/v1 HTTP/1.1"
    assert {"Host: model.test", f"Proxy-Authorization: {USER}", "X-Key: k"} <= set(headers)


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_tls_goes_through_the_proxy_in_a_tunnel(
    serving: ssl.SSLContext, trusting: ssl.SSLContext, scheme: str
) -> None:
    endpoint = Endpoint.of("https://model.test/v1", {"X-Key": "k"})
    own = serving if scheme == "https" else None
    async with (
        raw_server(replies(OK), tls=serving) as model,
        raw_server(proxy(model), tls=own) as server,
        HTTPClient(through(server, scheme), trusting) as client,
    ):
        for _ in range(2):
            assert await post(client, endpoint) == b"hi"
    head = f"CONNECT model.test:443 HTTP/1.1\r\nHost: model.test:443\r\nProxy-Authorization: {USER}"
    assert server.requests == [f"{head}\r\n\r\n"]
    assert [request.split("\r\n")[:2] for request in model.requests] == [
        ["POST /v1 HTTP/1.1", "Host: model.test"]
    ] * 2
    assert not any("Proxy" in request for request in model.requests)
    assert model.secure == ["http/1.1"]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"HTTP/1.1 407 Who are you\r\nContent-Length: 0\r\n\r\n", "status 407"),
        (b"HTTP/1.1 302 There\r\nLocation: /\r\n\r\n", "status 302"),
        (b"SSH-2.0\r\n", "not valid HTTP"),
    ],
)
async def test_a_proxy_that_refuses_the_tunnel_fails_the_request(
    trusting: ssl.SSLContext, answer: bytes, error: str
) -> None:
    async with (
        raw_server(replies(OK)) as model,
        raw_server(proxy(model, answer)) as server,
        HTTPClient(through(server), trusting) as client,
    ):
        with pytest.raises(BadResponse, match=error):
            await post(client, Endpoint.of("https://model.test/v1"))
        assert model.connections == 0


async def test_the_certificate_is_checked_behind_a_proxy(
    serving: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    async with (
        raw_server(replies(OK), tls=serving) as model,
        raw_server(proxy(model)) as server,
        HTTPClient(through(server), trusting) as client,
    ):
        with pytest.raises(ssl.SSLCertVerificationError):
            await post(client, Endpoint.of("https://other.test/v1"))
    assert model.requests == []


async def test_the_deadline_applies_behind_a_proxy(
    trusting: ssl.SSLContext,
) -> None:
    async def never_responds(server: RawServer, reader: Reader, writer: Writer) -> None:
        while await reader.read(1 << 16):
            pass
        server.left.set()

    async with (
        raw_server(never_responds) as model,
        raw_server(proxy(model)) as server,
        HTTPClient(through(server), trusting) as client,
    ):
        until = asyncio.get_running_loop().time() + 5
        with pytest.raises(TimeoutError):
            await client.post(
                Endpoint.of("https://model.test"), b"", connect_timeout=0.05, until=until
            )
        await model.left.wait()


async def test_an_unsupported_proxy_is_never_bypassed() -> None:
    async with HTTPClient({"all": "socks5://localhost"}) as client:
        with pytest.raises(BadResponse, match="proxy"):
            await post(client, Endpoint.of("http://model.test"))
