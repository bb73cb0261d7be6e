"""Deadlines of a response, and its release."""

import asyncio
import gc
import weakref

import pytest

from app.infra.http.errors import BadResponse
from app.infra.http.response import Response

pytestmark = pytest.mark.anyio

SIZED = b"HTTP/1.1 200 OK\r\nContent-Length: 33\r\n\r\n"


async def test_waiting_for_the_head_ends_at_its_deadline_and_not_before() -> None:
    response = Response()
    loop = asyncio.get_running_loop()
    for wait in (0.01, 0.05, 0.02):
        began = loop.time()
        with pytest.raises(TimeoutError):
            await response.receive_head(began + wait)
        assert loop.time() - began >= wait - 0.002
    loop.call_later(0.01, response.feed, SIZED)
    await response.receive_head(loop.time() + 5)
    assert response.status == 200


@pytest.mark.parametrize("seconds", [0.05, 5])
async def test_the_reader_of_a_piece_sets_the_deadline_of_the_next(seconds: float) -> None:
    response = Response()
    loop = asyncio.get_running_loop()
    began = loop.time()
    response.feed(SIZED + b"data:")
    # The deadline so far is longer or shorter than the one that the reader sets.
    until = began + (5 if seconds < 1 else 0.05)
    loop.call_later(0.1, response.connection_lost, None)
    with pytest.raises(TimeoutError if seconds < 1 else BadResponse):
        await response.receive_body(lambda piece: seconds, until)
    assert 0.05 - 0.002 <= loop.time() - began < 2


async def test_waiting_ends_at_the_deadline_even_if_bytes_keep_arriving() -> None:
    response = Response()
    response.feed(b"HTTP/1.1 200 OK\r\n\r\n")
    loop = asyncio.get_running_loop()
    began = loop.time()

    def flood() -> None:
        response.feed(b"x")
        if loop.time() < began + 2:
            loop.call_soon(flood)

    flood()
    with pytest.raises(TimeoutError):
        await response.receive_body(lambda piece: None, began + 0.05)
    assert loop.time() < began + 2
    response.close()


async def test_a_closed_response_is_freed_without_the_garbage_collector() -> None:
    response = Response()
    asyncio.get_running_loop().call_soon(response.feed, SIZED)
    await response.receive_head(asyncio.get_running_loop().time() + 5)
    response.close()
    known = weakref.ref(response)
    gc.disable()
    del response
    left = known()
    gc.enable()
    assert left is None
