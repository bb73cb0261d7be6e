"""Deadlines of a response, and its release."""

import asyncio
import gc
import weakref

import pytest

from app.infra.http.errors import BadResponse
from app.infra.http.response import Response

pytestmark = pytest.mark.anyio

SIZED = b"HTTP/1.1 200 OK\r\nContent-Length: 33\r\n\r\n"
# Seconds that no wait takes in these tests.
LONG = 30


async def test_waiting_for_the_head_ends_at_its_deadline_and_not_before() -> None:
    response = Response()
    loop = asyncio.get_running_loop()
    for wait in (0.01, 0.05, 0.02):
        shortly_before = asyncio.Event()
        loop.call_later(wait / 2, shortly_before.set)
        with pytest.raises(TimeoutError):
            await response.receive_head(loop.time() + wait)
        assert shortly_before.is_set()
    loop.call_later(0.01, response.feed, SIZED)
    await response.receive_head(loop.time() + LONG)
    assert response.status == 200


async def test_reading_a_piece_can_bring_the_deadline_forward() -> None:
    response = Response()
    response.feed(SIZED + b"data:")
    until = asyncio.get_running_loop().time() + LONG
    with pytest.raises(TimeoutError):
        await response.receive_body(lambda piece: 0.05, until)
    assert asyncio.get_running_loop().time() < until


async def test_reading_a_piece_can_postpone_the_deadline() -> None:
    response = Response()
    response.feed(SIZED + b"data:")
    loop = asyncio.get_running_loop()
    loop.call_later(0.1, response.connection_lost, None)
    with pytest.raises(BadResponse):
        await response.receive_body(lambda piece: LONG, loop.time() + 0.05)


async def test_a_wait_times_out_although_data_keeps_arriving() -> None:
    response = Response()
    response.feed(b"HTTP/1.1 200 OK\r\n\r\n")
    loop = asyncio.get_running_loop()
    began = loop.time()

    def flood() -> None:
        response.feed(b"x")
        if loop.time() < began + LONG:
            loop.call_soon(flood)

    flood()
    with pytest.raises(TimeoutError):
        await response.receive_body(lambda piece: None, began + 0.05)
    assert loop.time() < began + LONG
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
