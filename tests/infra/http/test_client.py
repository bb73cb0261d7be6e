"""The HTTP client on real sockets: persistent connections, repeated requests, timeouts."""

import asyncio
import socket
import struct
from contextlib import closing
from functools import partial

import anyio
import anyio.lowlevel
import pytest

from app import __version__
from app.infra.http.client import MAX_IDLE, MAX_REDIRECTS, HTTPClient
from app.infra.http.endpoint import Endpoint
from app.infra.http.errors import BadResponse
from tests.raw_server import (
    Play,
    RawServer,
    Reader,
    Writer,
    hangs_up,
    one_after_another,
    raw_server,
    replies,
)

pytestmark = pytest.mark.anyio

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"
OK = HEAD + b"\r\nhi"
PART = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi"


async def post(
    client: HTTPClient, endpoint: Endpoint, wait: float = 5, body: bytes = b"?"
) -> bytes:
    """Send a request and return the whole body, within `wait` seconds."""
    until = asyncio.get_running_loop().time() + wait
    response = await client.post(endpoint, body, connect_timeout=5, until=until)
    received = bytearray()
    with closing(response):
        await response.receive_body(received.extend, until)
    return bytes(received)


async def test_a_request_has_the_necessary_headers() -> None:
    async with raw_server(replies(OK)) as server, HTTPClient() as client:
        assert await post(client, server.endpoint(), body=b"12345") == b"hi"
    (request,) = server.requests
    start, *headers = request.strip().split("\r\n")
    assert start == "POST /v1 HTTP/1.1"
    assert headers == [
        f"Host: 127.0.0.1:{server.port}",
        *(f"User-Agent: chrysopedia-chat/{__version__}", "Accept: */*"),
        *("Accept-Encoding: identity", "X-Key: k", "Content-Length: 5"),
    ]


def moved(status: int, location: str) -> bytes:
    return b"HTTP/1.1 %d Moved\r\nContent-Length: 0\r\nLocation: %b\r\n\r\n" % (
        status,
        location.encode(),
    )


@pytest.mark.parametrize("status", [307, 308])
async def test_a_redirect_within_the_origin_repeats_the_request(status: int) -> None:
    plays = one_after_another(replies(moved(status, "/v2?a=b"), times=1), replies(OK))
    async with raw_server(plays) as server, HTTPClient() as client:
        assert await post(client, server.endpoint(), body=b"12345") == b"hi"
    assert [request.split()[:2] for request in server.requests] == [
        ["POST", "/v1"],
        ["POST", "/v2?a=b"],
    ]
    assert all("X-Key: k\r\nContent-Length: 5" in request for request in server.requests)


@pytest.mark.parametrize(
    ("status", "location"), [(307, "http://localhost/v1"), (307, ""), (302, "/v2"), (301, "/v2")]
)
async def test_other_redirects_are_not_followed(status: int, location: str) -> None:
    async with raw_server(replies(moved(status, location))) as server, HTTPClient() as client:
        until = asyncio.get_running_loop().time() + 5
        response = await client.post(server.endpoint(), b"", until=until)
        response.close()
    assert (response.status, len(server.requests)) == (status, 1)


async def test_endless_redirects_are_followed_a_few_times() -> None:
    async with raw_server(replies(moved(307, "/v1"))) as server, HTTPClient() as client:
        until = asyncio.get_running_loop().time() + 5
        response = await client.post(server.endpoint(), b"", until=until)
        response.close()
    assert (response.status, len(server.requests)) == (307, MAX_REDIRECTS + 1)


async def test_a_connection_is_kept_for_the_next_request() -> None:
    async with raw_server(replies(OK)) as server, HTTPClient() as client:
        for _ in range(3):
            assert await post(client, server.endpoint()) == b"hi"
    assert server.connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        HEAD + b"Connection: close\r\n\r\nhi",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        OK + b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno",
        OK + b"more than it said",
    ],
)
async def test_a_connection_is_not_kept_if_it_ends_or_has_extra_bytes(answer: bytes) -> None:
    async with raw_server(replies(answer)) as server, HTTPClient() as client:
        for _ in range(2):
            assert await post(client, server.endpoint()) == b"hi"
    assert server.connections == 2


async def test_the_end_of_the_connection_may_be_the_end_of_the_body() -> None:
    play = replies(b"HTTP/1.0 200 OK\r\n\r\n", b"h", b"i", times=1)
    async with raw_server(play) as server, HTTPClient() as client:
        for _ in range(2):
            assert await post(client, server.endpoint()) == b"hi"
    assert server.connections == 2


@pytest.mark.parametrize(
    "first",
    [
        replies(OK, times=1),
        one_after_another(replies(OK, times=1), hangs_up),
    ],
)
async def test_an_idle_connection_that_the_server_closes_is_replaced(first: Play) -> None:
    async with raw_server(first, replies(OK)) as server, HTTPClient() as client:
        for _ in range(3):
            assert await post(client, server.endpoint()) == b"hi"
    assert server.connections == 2


async def test_unrequested_bytes_are_not_taken_for_a_response() -> None:
    unasked = replies(OK, times=1, extra=OK.replace(b"hi", b"no"))
    play = one_after_another(unasked, hangs_up)
    async with raw_server(play, replies(OK)) as server, HTTPClient() as client:
        await post(client, server.endpoint())
        await server.left.wait()
        assert await post(client, server.endpoint()) == b"hi"


@pytest.mark.parametrize(
    ("plays", "asked"),
    [
        # Over a new connection a request is sent once.
        ([hangs_up], 1),
        # Over an idle one it is sent once more, over a new one, and never a third time.
        ([one_after_another(replies(OK, times=1), hangs_up), hangs_up], 3),
        # It is not repeated once the response has started.
        ([one_after_another(replies(OK, times=1), replies(b"H", times=1))], 2),
        ([one_after_another(replies(OK, times=1), replies(PART, times=1))], 2),
    ],
)
async def test_a_request_is_sent_once_more_if_no_response_started(
    plays: list[Play], asked: int
) -> None:
    async with raw_server(*plays) as server, HTTPClient() as client:
        if asked > 1:
            await post(client, server.endpoint())
        with pytest.raises(BadResponse, match="closed"):
            await post(client, server.endpoint())
    assert len(server.requests) == asked


async def test_data_received_before_a_reset_is_delivered() -> None:
    received = anyio.Event()

    async def resets(server: RawServer, reader: Reader, writer: Writer) -> None:
        await replies(PART, times=1)(server, reader, writer)
        await received.wait()
        at_once = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)

    until = asyncio.get_running_loop().time() + 5
    async with raw_server(resets) as server, HTTPClient() as client:
        response = await client.post(server.endpoint(), b"", connect_timeout=5, until=until)
        body = bytearray()

        def take(piece: bytes) -> None:
            body.extend(piece)
            received.set()

        with closing(response), pytest.raises(ConnectionResetError):
            await response.receive_body(take, until)
    assert body == b"hi"


@pytest.mark.parametrize(
    "slowly", [b"", b"HTTP/1.1 200 OK\r\nX: " + b"x" * 50, HEAD + b"\r\nh", PART]
)
async def test_a_slow_server_is_abandoned_at_the_deadline(slowly: bytes) -> None:
    pieces = (bytes([byte]) for byte in slowly)
    play = one_after_another(replies(*pieces, times=1), hangs_up)
    async with raw_server(play) as server, HTTPClient() as client:
        with pytest.raises(TimeoutError):
            await post(client, server.endpoint(), wait=0.05)
        await server.left.wait()


async def test_closing_a_response_early_closes_the_connection() -> None:
    until = asyncio.get_running_loop().time() + 5
    async with raw_server(replies(PART)) as server, HTTPClient() as client:
        response = await client.post(server.endpoint(), b"", connect_timeout=5, until=until)
        response.close()
        response.close()
        await server.left.wait()


@pytest.mark.parametrize("answer", [OK, PART])
async def test_closing_the_client_closes_every_connection(answer: bytes) -> None:
    until = asyncio.get_running_loop().time() + 5
    async with raw_server(replies(answer)) as server:
        async with HTTPClient() as client:
            response = await client.post(server.endpoint(), b"", connect_timeout=5, until=until)
            if answer == OK:
                response.close()
        await server.left.wait()
        response.close()


@pytest.mark.parametrize("steps", range(12))
async def test_a_client_closes_after_a_request_was_cancelled_while_connecting(steps: int) -> None:
    async with raw_server(replies(OK)) as server:
        with anyio.fail_after(5):
            async with HTTPClient() as client:
                request = asyncio.create_task(post(client, server.endpoint()))
                for _ in range(steps):
                    await anyio.lowlevel.checkpoint()
                request.cancel()
                await asyncio.wait([request])


async def test_an_idle_connection_is_closed_after_the_idle_time() -> None:
    async with raw_server(replies(OK)) as server, HTTPClient(idle_time=0.01) as client:
        await post(client, server.endpoint())
        await server.left.wait()
        assert await post(client, server.endpoint()) == b"hi"
    assert server.connections == 2


async def test_the_number_of_idle_connections_is_limited() -> None:
    until = asyncio.get_running_loop().time() + 5
    async with raw_server(replies(OK)) as server, HTTPClient() as client:
        ask = partial(client.post, server.endpoint(), b"", connect_timeout=5, until=until)
        responses = [await ask() for _ in range(MAX_IDLE + 1)]
        for response in responses:
            assert not server.left.is_set()
            response.close()
        await server.left.wait()
        for _ in range(3):
            await post(client, server.endpoint())
    assert server.connections == MAX_IDLE + 1


async def test_a_connection_is_not_kept_while_its_request_is_still_being_sent() -> None:
    async def answers_early(server: RawServer, reader: Reader, writer: Writer) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        await server.left.wait()

    async with raw_server(answers_early, replies(OK)) as server, HTTPClient() as client:
        for _ in range(2):
            assert await post(client, server.endpoint(), body=b"x" * 20_000_000) == b"hi"
        server.left.set()
    assert server.connections == 2


async def test_a_long_response_arrives_whole_however_fast_it_is_sent() -> None:
    pieces = (b"HTTP/1.1 200 OK\r\nContent-Length: 6400000\r\n\r\n", *[b"x" * 64_000] * 100)
    async with raw_server(replies(*pieces)) as server, HTTPClient() as client:
        assert await post(client, server.endpoint()) == b"x" * 6_400_000
        assert await post(client, server.endpoint()) == b"x" * 6_400_000
    assert server.connections == 1


async def test_a_server_may_have_an_ipv6_address() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    async with raw_server(replies(OK), host="::1") as server, HTTPClient() as client:
        assert await post(client, server.endpoint("[::1]")) == b"hi"
    assert f"Host: [::1]:{server.port}\r\n" in server.requests[0]


@pytest.mark.parametrize(
    ("host", "error"), [("127.0.0.1", ConnectionRefusedError), ("nowhere.invalid", socket.gaierror)]
)
async def test_an_unreachable_server_raises_the_systems_error(
    host: str, error: type[OSError]
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        async with HTTPClient() as client:
            with pytest.raises(error):
                await post(client, Endpoint.of(f"http://{host}:{closed.getsockname()[1]}"))
