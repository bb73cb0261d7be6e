"""Tests of the log format: round trips, repeated writes, gaps."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.services.streams.log_format import (
    Header,
    Part,
    decode,
    decode_header,
    encode,
    encode_header,
)

HEADER = Header("c_1", "w_1")
FRAMES = [b"id: t-0\nevent: token\ndata: 1\n\n", b"two", b"three", "vier ✓".encode()]

printed = st.text(st.characters(min_codepoint=0x20, exclude_categories=["Cs"]))
lists_of_frames = st.lists(printed.map(str.encode))


def test_a_truncated_log_has_no_header() -> None:
    log = encode_header(HEADER) + encode(FRAMES, 0, ended=True, failed=False)
    found = decode_header(log)
    assert found
    assert found[0] == HEADER
    assert decode_header(log[1:]) is None
    assert decode_header(b"") is None


@pytest.mark.parametrize("header", [HEADER, Header("", "w"), Header("c", "w", "anna")])
def test_a_header_is_decoded_with_its_owner(header: Header) -> None:
    assert decode_header(encode_header(header)) == (header, b"")


@given(lists_of_frames, st.data(), st.booleans())
def test_a_reader_gets_exactly_the_frames_it_does_not_have(
    frames: list[bytes], data: st.DataObject, failed: bool
) -> None:
    known = data.draw(st.integers(0, len(frames)))
    whole = encode(frames, 0, ended=True, failed=failed)
    assert decode(whole, known) == Part(frames[known:], ended=True, failed=failed)
    rest = encode(frames[known:], known, ended=False, failed=False)
    assert decode(rest, known) == Part(frames[known:])


def test_repeated_records_are_read_once() -> None:
    first = encode(FRAMES[:2], 0, ended=False, failed=False)
    rest = encode(FRAMES[2:], 2, ended=True, failed=False)
    assert decode(first + first + rest, 0) == Part(FRAMES, ended=True)
    assert decode(first + rest, 1) == Part(FRAMES[1:], ended=True)


def test_logs_with_gaps_or_partial_records_are_torn() -> None:
    rest = encode(FRAMES[2:], 2, ended=True, failed=False)
    assert decode(rest, 1) == Part([], torn=True)
    assert decode(rest[3:], 2).torn
    assert decode(b"\0\0\0" + rest, 2).torn


@given(lists_of_frames, st.integers(0, 9))
@example([b"0", b"1", b"2", b"three"], 3)
def test_a_reader_of_a_rewritten_log_gets_no_wrong_frames(frames: list[bytes], known: int) -> None:
    each = [
        encode([frame], number, ended=False, failed=False) for number, frame in enumerate(frames)
    ]
    rewritten = encode(frames, 0, ended=True, failed=False)
    known = min(known, len(frames))
    part = decode(rewritten[len(b"".join(each[:known])) :], known)
    assert part.frames == frames[known : known + len(part.frames)]
    assert not part.ended or known + len(part.frames) == len(frames)
