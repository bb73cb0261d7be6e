"""The client on real sockets: what it keeps, sends again, and gives up."""

import asyncio
import socket
import struct
from contextlib import closing
from functools import partial

import anyio
import pytest

from app.infra.http.client import MAX_IDLE, HTTPClient
from app.infra.http.content_encoding import BadResponse
from app.infra.http.endpoint import Endpoint
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
    """Ask once and return the whole body; all of it may take `wait` seconds."""
    until = asyncio.get_running_loop().time() + wait
    response = await client.post(endpoint, body, connect_timeout=5, until=until)
    received = bytearray()
    with closing(response):
        await response.body(received.extend, until)
    return bytes(received)


async def test_a_request_says_what_it_must() -> None:
    async with raw_server(replies(OK)) as server, HTTPClient() as client:
        assert await post(client, server.endpoint(), body=b"12345") == b"hi"
    (request,) = server.requests
    start, *headers = request.strip().split("\r\n")
    assert start == "POST /v1 HTTP/1.1"
    assert headers == [
        *(f"Host: 127.0.0.1:{server.port}", "Accept: */*", "Accept-Encoding: identity"),
        *("X-Key: k", "Content-Length: 5"),
    ]


async def test_a_connection_is_kept_for_the_next_question() -> None:
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
async def test_a_connection_is_not_kept_where_it_ends_or_holds_more(answer: bytes) -> None:
    async with raw_server(replies(answer)) as server, HTTPClient() as client:
        for _ in range(2):
            assert await post(client, server.endpoint()) == b"hi"
    assert server.connections == 2


async def test_the_end_of_the_connection_may_be_the_end_of_the_answer() -> None:
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
async def test_a_kept_connection_that_the_server_closes_is_replaced(first: Play) -> None:
    async with raw_server(first, replies(OK)) as server, HTTPClient() as client:
        for _ in range(3):
            assert await post(client, server.endpoint()) == b"hi"
    assert server.connections == 2


async def test_what_comes_unasked_is_nobodys_answer() -> None:
    unasked = replies(OK, times=1, extra=OK.replace(b"hi", b"no"))
    play = one_after_another(unasked, hangs_up)
    async with raw_server(play, replies(OK)) as server, HTTPClient() as client:
        await post(client, server.endpoint())
        await server.left.wait()
        assert await post(client, server.endpoint()) == b"hi"


@pytest.mark.parametrize(
    ("plays", "asked"),
    [
        # Over a new connection it is sent once.
        ([hangs_up], 1),
        # Over a kept one it is sent once more, over a new one, and never a third time.
        ([one_after_another(replies(OK, times=1), hangs_up), hangs_up], 3),
        # It is not where the answer has begun.
        ([one_after_another(replies(OK, times=1), replies(b"H", times=1))], 2),
        ([one_after_another(replies(OK, times=1), replies(PART, times=1))], 2),
    ],
)
async def test_a_request_is_sent_once_more_where_no_answer_began(
    plays: list[Play], asked: int
) -> None:
    async with raw_server(*plays) as server, HTTPClient() as client:
        if asked > 1:
            await post(client, server.endpoint())
        with pytest.raises(BadResponse, match="ended"):
            await post(client, server.endpoint())
    assert len(server.requests) == asked


async def test_what_came_before_a_reset_is_given() -> None:
    given = anyio.Event()

    async def resets(server: RawServer, reader: Reader, writer: Writer) -> None:
        await replies(PART, times=1)(server, reader, writer)
        await given.wait()
        at_once = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)

    until = asyncio.get_running_loop().time() + 5
    async with raw_server(resets) as server, HTTPClient() as client:
        response = await client.post(server.endpoint(), b"", connect_timeout=5, until=until)
        came = bytearray()

        def take(piece: bytes) -> None:
            came.extend(piece)
            given.set()

        with closing(response), pytest.raises(ConnectionResetError):
            await response.body(take, until)
    assert came == b"hi"


@pytest.mark.parametrize(
    "slowly", [b"", b"HTTP/1.1 200 OK\r\nX: " + b"x" * 50, HEAD + b"\r\nh", PART]
)
async def test_a_server_that_dawdles_is_left_in_time(slowly: bytes) -> None:
    pieces = (bytes([byte]) for byte in slowly)
    play = one_after_another(replies(*pieces, times=1), hangs_up)
    async with raw_server(play) as server, HTTPClient() as client:
        with pytest.raises(TimeoutError):
            await post(client, server.endpoint(), wait=0.05)
        await server.left.wait()


async def test_an_answer_that_is_closed_early_stops_the_server() -> None:
    until = asyncio.get_running_loop().time() + 5
    async with raw_server(replies(PART)) as server, HTTPClient() as client:
        response = await client.post(server.endpoint(), b"", connect_timeout=5, until=until)
        response.close()
        response.close()
        await server.left.wait()


@pytest.mark.parametrize("answer", [OK, PART])
async def test_in_the_end_every_connection_is_closed(answer: bytes) -> None:
    until = asyncio.get_running_loop().time() + 5
    async with raw_server(replies(answer)) as server:
        async with HTTPClient() as client:
            response = await client.post(server.endpoint(), b"", connect_timeout=5, until=until)
            if answer == OK:
                response.close()
        await server.left.wait()
        response.close()


async def test_a_connection_that_nobody_needs_is_closed_after_a_while() -> None:
    async with raw_server(replies(OK)) as server, HTTPClient(idle_time=0.01) as client:
        await post(client, server.endpoint())
        await server.left.wait()
        assert await post(client, server.endpoint()) == b"hi"
    assert server.connections == 2


async def test_only_so_many_connections_are_kept() -> None:
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


async def test_a_connection_is_not_kept_while_a_request_is_on_its_way() -> None:
    async def answers_early(server: RawServer, reader: Reader, writer: Writer) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        await server.left.wait()

    async with raw_server(answers_early, replies(OK)) as server, HTTPClient() as client:
        for _ in range(2):
            assert await post(client, server.endpoint(), body=b"x" * 20_000_000) == b"hi"
        server.left.set()
    assert server.connections == 2


async def test_a_long_answer_comes_whole_however_fast_it_is_sent() -> None:
    pieces = (b"HTTP/1.1 200 OK\r\nContent-Length: 6400000\r\n\r\n", *[b"x" * 64_000] * 100)
    async with raw_server(replies(*pieces)) as server, HTTPClient() as client:
        assert await post(client, server.endpoint()) == b"x" * 6_400_000
        assert await post(client, server.endpoint()) == b"x" * 6_400_000
    assert server.connections == 1


async def test_a_server_may_have_an_address_of_the_new_kind() -> None:
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
async def test_a_server_that_is_not_there_is_told_of(host: str, error: type[OSError]) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        async with HTTPClient() as client:
            with pytest.raises(error):
                await post(client, Endpoint.of(f"http://{host}:{closed.getsockname()[1]}"))
