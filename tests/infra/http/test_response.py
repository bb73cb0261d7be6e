"""Responses are parsed however their bytes are split, and invalid ones are rejected."""

import asyncio
import gzip
import zlib
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from app.infra.http.content_encoding import MAX_PIECE
from app.infra.http.errors import BadResponse, ResponseTooLarge
from app.infra.http.response import HEAD_LIMIT, Response

pytestmark = pytest.mark.anyio

BODY = b"data: one\n\n" * 3
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
CHUNKS = b"5;x=1\r\ndata:\r\n1c \r\n one\n\ndata: one\n\ndata: one\n\n\r\n0\r\nX-T: 1\r\n\r\n"
SIZED = b"HTTP/1.1 200 OK\r\nContent-Length: 33\r\n\r\n"


class Received(Struct, frozen=True):
    """The outcome of a response."""

    status: int
    body: bytes
    reusable: bool
    failed: bool


async def received(*pieces: bytes, end: bool = False) -> Received:
    """Read a response that arrives in pieces; `end` closes the connection after them."""
    response = Response()
    body = bytearray()
    until = asyncio.get_running_loop().time() + 5

    async def read() -> bool:
        try:
            await response.receive_head(until)
            await response.receive_body(body.extend, until)
        except BadResponse:
            return True
        return False

    reading = asyncio.create_task(read())
    for piece in pieces:
        await asyncio.sleep(0)
        response.feed(piece)
    if end:
        response.connection_lost(None)
    failed = await reading
    response.close()
    return Received(response.status, bytes(body), response.reusable, failed)


WHOLE = Received(200, BODY, reusable=True, failed=False)
LAST = Received(200, BODY, reusable=False, failed=False)
WAYS: list[tuple[bytes, bool, Received]] = [
    (CHUNKED + b"\r\n" + CHUNKS, False, WHOLE),
    (SIZED + BODY, False, WHOLE),
    (b"HTTP/1.1 100 Continue\r\n\r\n" + SIZED + BODY, False, WHOLE),
    (b"HTTP/1.1 103 Early Hints\r\nContent-Length: 9\r\n\r\n" + SIZED + BODY, False, WHOLE),
    (b"HTTP/1.1 200\r\nServer:\r\ncontent-length:33\r\n\r\n" + BODY, False, WHOLE),
    (b"HTTP/1.1 200 OK\nContent-Length: 33\n\n" + BODY, False, WHOLE),
    (b"HTTP/1.1 204 No\r\n\r\n", False, Received(204, b"", True, failed=False)),
    (CHUNKED + b"Connection: close\r\n\r\n" + CHUNKS, False, LAST),
    (b"HTTP/1.0 200 OK\r\nContent-Length: 33\r\n\r\n" + BODY, False, LAST),
    (b"HTTP/1.0 200 OK\r\n\r\n" + BODY, True, LAST),
    (b"HTTP/1.1 200 OK\r\n\r\n" + BODY, True, LAST),
    (SIZED + BODY + SIZED + BODY, False, LAST),
    (SIZED + BODY + b"anything", False, LAST),
    (CHUNKED + b"\r\n" + CHUNKS + b"HTTP/1.1 500 No\r\n\r\n", False, LAST),
    (CHUNKED + b"\r\n" + CHUNKS, True, LAST),
]


@pytest.mark.parametrize(("stream", "end", "expected"), WAYS)
async def test_every_split_gives_the_same_response(
    stream: bytes, end: bool, expected: Received
) -> None:
    assert await received(stream, end=end) == expected
    assert await received(*(bytes([byte]) for byte in stream), end=end) == expected
    for cut in range(1, len(stream)):
        assert await received(stream[:cut], stream[cut:], end=end) == expected


@given(st.lists(st.binary() | st.sampled_from([SIZED, CHUNKED, b"\r\n", b"5\r\n", b"0\r\n"])))
async def test_arbitrary_bytes_are_parsed_or_rejected(pieces: list[bytes]) -> None:
    what = await received(*pieces, end=True)
    assert what.failed or what.status >= 200


@pytest.mark.parametrize(
    "stream",
    [
        *(b"", b"SSH-2.0-OpenSSH_9.6\r\n", b"HTTP/1.1 OK\r\n\r\n", b"HTTP/1.1 99 No\r\n\r\n"),
        *(b"HTTP/2 200\r\n\r\n", b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", b"HTTP/1.1 200 OK\r\n"),
        b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n" + SIZED + BODY,
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 33\r\n\r\n" + CHUNKS,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n" + CHUNKS,
        CHUNKED + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNKS,
        *(
            b"HTTP/1.1 200 OK\r\nContent-Encoding: %b\r\nContent-Length: 33\r\n\r\n" % coding + BODY
            for coding in (b"br", b"zstd", b"deflate, gzip")
        ),
    ],
)
async def test_invalid_responses_are_rejected(stream: bytes) -> None:
    assert (await received(stream, end=True)).failed


@pytest.mark.parametrize(
    ("stream", "body"),
    [
        (SIZED + BODY[:20], BODY[:20]),
        (CHUNKED + b"\r\n" + CHUNKS[:30], b"data: one\n\ndata:"),
        (CHUNKED + b"\r\n5\r\ndata:\r\nzz\r\n", b"data:"),
        (CHUNKED + b"\r\n5\r\ndata:oops", b"data:"),
    ],
)
async def test_a_truncated_or_invalid_body_is_delivered_up_to_the_fault(
    stream: bytes, body: bytes
) -> None:
    assert await received(stream, end=True) == Received(200, body, reusable=False, failed=True)


async def test_bytes_after_the_content_length_are_dropped_with_the_connection() -> None:
    short = SIZED.replace(b"33", b"11")
    assert await received(short + BODY) == Received(200, BODY[:11], reusable=False, failed=False)


@pytest.mark.parametrize(
    ("before", "endless"),
    [
        (b"HTTP/1.1 200 OK\r\nX: ", b"x"),
        (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (CHUNKED + b"\r\n1;", b"x"),
        (CHUNKED + b"\r\n1\r\nx\r\n0\r\nX: ", b"x"),
        (CHUNKED + b"\r\n1\r\nx\r\n0\r\n", b"X: y\r\n"),
    ],
)
async def test_endless_headers_and_trailers_are_rejected(before: bytes, endless: bytes) -> None:
    response = Response()
    until = asyncio.get_running_loop().time() + 5
    reading = asyncio.create_task(response.receive_body(lambda piece: None, until))
    await asyncio.sleep(0)
    response.feed(before)
    for _ in range(2 * HEAD_LIMIT // len(endless)):
        response.feed(endless)
    response.feed(b"\r\n\r\n")
    with pytest.raises(BadResponse, match="too large"):
        await reading


async def test_headers_of_informational_responses_and_trailers_are_ignored() -> None:
    response = Response()
    response.feed(b"HTTP/1.1 103 Early\r\nA: 1\r\n\r\n" + CHUNKED)
    response.feed(b"Content-type:\tText/HTML; x=y\r\nB: 2\r\nb: 3\r\n\r\n" + CHUNKS)
    await response.receive_head(0)
    assert (response.headers["b"], response.content_type) == ("2, 3", "text/html")
    assert not {"a", "x-t"} & set(response.headers)


async def test_a_connection_reset_does_not_end_a_body() -> None:
    response = Response()
    response.feed(b"HTTP/1.1 200 OK\r\n\r\n")
    response.connection_lost(ConnectionResetError())
    with pytest.raises(ConnectionResetError):
        await response.read(0, 100)


def answer(body: bytes, coding: bytes = b"gzip") -> Sequence[bytes]:
    head = CHUNKED + b"Content-Encoding: %b\r\n\r\n" % coding
    return head, b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


@pytest.mark.parametrize(
    ("coding", "pack"),
    [
        (b"gzip", gzip.compress),
        (b"deflate", zlib.compress),
        (b"Deflate", lambda b: zlib.compress(b)[2:-4]),
    ],
)
async def test_a_compressed_body_is_decompressed(
    coding: bytes, pack: Callable[[bytes], bytes]
) -> None:
    body = pack(BODY)
    assert await received(*answer(body, coding)) == WHOLE
    assert await received(*(bytes([b]) for b in b"".join(answer(body, coding)))) == WHOLE
    assert await received(*answer(body + b"padding", coding)) == WHOLE
    assert (await received(*answer(body[:-3], coding))).failed
    two_parts = gzip.compress(BODY[:9]) + gzip.compress(BODY[9:])
    for sent in (answer(two_parts), [bytes([b]) for b in b"".join(answer(two_parts))]):
        assert await received(*sent) == WHOLE


async def test_corrupt_compressed_data_is_rejected() -> None:
    assert (await received(*answer(b"no such thing", b"deflate"))).failed
    assert (await received(*answer(gzip.compress(BODY)[:12] + b"no such thing"))).failed


@pytest.mark.parametrize(
    "coding", [b"gzip", b"identity", b"none", b"utf-8", b"", b"identity, gzip"]
)
async def test_the_first_byte_decides_whether_a_body_is_compressed(coding: bytes) -> None:
    assert await received(*answer(BODY, coding)) == WHOLE
    assert not coding or await received(*answer(gzip.compress(BODY), coding)) == WHOLE


async def test_a_decompression_bomb_is_delivered_in_pieces() -> None:
    response = Response()
    response.feed(b"".join(answer(gzip.compress(b"x" * MAX_PIECE * 5))))
    pieces: list[int] = []
    await response.receive_body(lambda piece: pieces.append(len(piece)), 0)
    assert pieces == [MAX_PIECE] * 5


async def test_the_reader_can_stop_in_the_middle_of_a_decompression_bomb() -> None:
    response = Response()
    response.feed(b"".join(answer(gzip.compress(b"x" * MAX_PIECE * 5))))
    taken: list[bytes] = []

    def take(piece: bytes) -> None:
        taken.append(piece)
        raise ValueError("enough")

    with pytest.raises(ValueError, match="enough"):
        await response.receive_body(take, 0)
    response.feed(b"more")
    assert len(taken) == 1
    assert not response.reusable


async def test_a_piece_is_delivered_within_the_call_that_receives_it() -> None:
    response = Response()
    response.feed(SIZED)
    body = bytearray()
    until = asyncio.get_running_loop().time() + 5
    reading = asyncio.create_task(response.receive_body(body.extend, until))
    await asyncio.sleep(0)
    response.feed(BODY[:20])
    assert body == BODY[:20]
    response.feed(BODY[20:])
    assert body == BODY
    await reading


async def test_read_returns_the_whole_body() -> None:
    response = Response()
    reading = asyncio.create_task(response.read(asyncio.get_running_loop().time() + 5, len(BODY)))
    await asyncio.sleep(0)
    response.feed(SIZED + BODY[:20])
    response.feed(BODY[20:])
    assert await reading == BODY


async def test_read_rejects_a_body_over_the_limit() -> None:
    response = Response()
    response.feed(SIZED + BODY)
    with pytest.raises(ResponseTooLarge):
        await response.read(0, len(BODY) - 1)
    assert not response.reusable
