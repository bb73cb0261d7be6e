"""What waits for a response, and for how long: its reader, the garbage collector."""

import asyncio
import gc
import weakref

import pytest

from app.infra.http.content_encoding import BadResponse
from app.infra.http.response import Response

pytestmark = pytest.mark.anyio

SIZED = b"HTTP/1.1 200 OK\r\nContent-Length: 33\r\n\r\n"


async def test_a_wait_for_the_head_ends_at_its_moment_and_a_longer_one_is_not_cut_short() -> None:
    response = Response(asyncio.Transport())
    loop = asyncio.get_running_loop()
    for wait in (0.01, 0.05, 0.02):
        began = loop.time()
        with pytest.raises(TimeoutError):
            await response.head(began + wait)
        assert loop.time() - began >= wait - 0.002
    loop.call_later(0.01, response.feed, SIZED)
    await response.head(loop.time() + 5)
    assert response.status == 200


@pytest.mark.parametrize("seconds", [0.05, 5])
async def test_who_takes_a_piece_says_when_the_next_is_due(seconds: float) -> None:
    response = Response(asyncio.Transport())
    loop = asyncio.get_running_loop()
    began = loop.time()
    response.feed(SIZED + b"data:")
    # It was 5 seconds, or 0.05, until then.
    until = began + (5 if seconds < 1 else 0.05)
    loop.call_later(0.1, response.connection_lost, None)
    with pytest.raises(TimeoutError if seconds < 1 else BadResponse):
        await response.body(lambda piece: seconds, until)
    assert 0.05 - 0.002 <= loop.time() - began < 2


async def test_a_wait_ends_also_where_something_comes_all_the_time() -> None:
    response = Response(asyncio.Transport())
    response.feed(b"HTTP/1.1 200 OK\r\n\r\n")
    loop = asyncio.get_running_loop()
    began = loop.time()

    def flood() -> None:
        response.feed(b"x")
        if loop.time() < began + 2:
            loop.call_soon(flood)

    flood()
    with pytest.raises(TimeoutError):
        await response.body(lambda piece: None, began + 0.05)
    assert loop.time() < began + 2
    response.close()


async def test_a_response_that_is_done_with_is_gone_at_once() -> None:
    response = Response(asyncio.Transport())
    asyncio.get_running_loop().call_soon(response.feed, SIZED)
    await response.head(asyncio.get_running_loop().time() + 5)
    response.close()
    known = weakref.ref(response)
    gc.disable()
    del response
    left = known()
    gc.enable()
    assert left is None
