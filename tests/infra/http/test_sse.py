"""Event streams are decoded by the specification, however their bytes are split."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.infra.http.sse import BadEvent, SSEDecoder, SSEEvent


def decode(*pieces: bytes, limit: int = 1_000) -> list[SSEEvent]:
    decoder = SSEDecoder(limit)
    return [event for piece in pieces for event in decoder.feed(piece)]


def data(*pieces: bytes) -> list[str]:
    return [event.data for event in decode(*pieces)]


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_each_kind_of_line_end_ends_a_line(end: bytes) -> None:
    assert data(end.join([b"data: one", b"", b"data: two", b"", b""])) == ["one", "two"]


def test_crlf_split_over_two_reads_is_one_line_end() -> None:
    assert data(b"data: a\r", b"\ndata: b\r", b"", b"\n\r", b"\n") == ["a\nb"]


def test_a_carriage_return_ends_an_event_without_waiting_for_a_line_feed() -> None:
    assert data(b"data: a\r\r") == ["a"]


def test_several_data_lines_are_joined_by_line_feeds() -> None:
    assert data(b"data: a\ndata:\ndata\ndata: b\n\n") == ["a\n\n\nb"]


def test_only_one_leading_space_is_removed() -> None:
    assert data(b"data:a\n\ndata: b\n\ndata:  c \n\n") == ["a", "b", " c "]


def test_comments_and_unknown_fields_are_ignored() -> None:
    assert data(b": ping\n\ndata: a\n:\nother: b\ndatum: c\n\n") == ["a"]


def test_padding_before_a_field_is_ignored() -> None:
    mark = b"\xef\xbb\xbf"
    stream = mark + b"data: a\n\n" + mark + b"data: b\n\n \tdata: c\n data: d\n\n"

    assert data(stream) == ["a", "b", "c\nd"]


def test_an_error_field_is_an_event_named_error() -> None:
    events = decode(b"data: a\n\n", b'error: {"code":500}\n\ndata: b\n\n')

    assert events == [SSEEvent("a"), SSEEvent('{"code":500}', "error"), SSEEvent("b")]


def test_an_event_without_data_is_dropped_with_its_name() -> None:
    assert decode(b"event: lost\n\ndata: a\n\n") == [SSEEvent("a")]


def test_an_event_has_its_name_and_the_last_id() -> None:
    events = decode(b"id: 7\nevent: token\ndata: a\n\ndata: b\n\nid\ndata: c\n\n")

    assert events == [SSEEvent("a", "token", "7"), SSEEvent("b", id="7"), SSEEvent("c")]


def test_an_id_with_a_nul_is_ignored() -> None:
    assert decode(b"id: 1\nid: 2\0\ndata: a\n\n") == [SSEEvent("a", id="1")]


@pytest.mark.parametrize("end", [b"", b"\n", b"\r", b"\r\n"])
def test_an_incomplete_event_at_the_end_is_returned_only_on_request(end: bytes) -> None:
    decoder = SSEDecoder()

    assert decoder.feed(b"data: a\n\ndata: b" + end) == [SSEEvent("a")]
    assert decoder.finish() == [SSEEvent("b")]


@pytest.mark.parametrize("stream", [b"", b"data: a\n\n", b": ping", b"event: x"])
def test_a_complete_stream_has_nothing_left(stream: bytes) -> None:
    decoder = SSEDecoder()
    decoder.feed(stream)

    assert decoder.finish() == []


def test_characters_split_over_reads_are_joined() -> None:
    stream = "data: naïve 😀\n\n".encode()

    assert data(*(bytes([byte]) for byte in stream)) == ["naïve 😀"]


def test_invalid_utf8_is_replaced() -> None:
    assert data(b"data: a\xff\xe2\x82\n\n") == ["a��"]


def test_unicode_line_separators_do_not_end_a_line() -> None:
    text = "a\u2028b\u2029c\x85d\x0be\x0cf"

    assert data(f"data: {text}\n\n".encode()) == [text]


def test_an_endless_line_is_rejected_at_the_limit() -> None:
    decoder = SSEDecoder(limit=100)
    for _ in range(100):
        decoder.feed(b"x")

    with pytest.raises(BadEvent):
        decoder.feed(b"x")


def test_an_event_of_many_lines_is_rejected_at_the_limit() -> None:
    with pytest.raises(BadEvent):
        decode(b"data: 0123456789\n" * 20, limit=100)


def test_the_limit_applies_to_each_event_separately() -> None:
    assert len(decode(b": ping\ndata: 0123456789\n\n" * 20, limit=100)) == 20


LINES = st.sampled_from(
    [
        *(b"data: a", b"data", b"data:", b"data: \xff\xf0\x9f", b"data: " * 5, b"", b"", b": c"),
        *(b"\xef\xbb\xbf", b"id: 1", b"id: \0", b"event: e", b"retry: 3"),
        "data: é😀\u2028".encode(),
    ]
)
STREAMS = st.lists(st.tuples(LINES, st.sampled_from([b"\n", b"\r", b"\r\n", b""]))).map(
    lambda lines: b"".join(line + end for line, end in lines)
)


def outcome(pieces: list[bytes]) -> list[SSEEvent] | None:
    try:
        return decode(*pieces, limit=60)
    except BadEvent:
        return None


@given(STREAMS | st.binary(), st.lists(st.integers(0, 200)))
def test_every_split_of_the_same_bytes_gives_the_same_events(
    stream: bytes, cuts: list[int]
) -> None:
    places = sorted({0, *cuts, len(stream)})
    pieces = [stream[a:b] for a, b in pairwise(places)]

    assert outcome(pieces) == outcome([stream])
    assert outcome([bytes([byte]) for byte in stream]) == outcome([stream])
