"""What a log holds is read as it was written, and what is wrong with it shows."""

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


def test_a_log_without_its_beginning_has_no_header() -> None:
    log = encode_header(HEADER) + encode(FRAMES, 0, ended=True, failed=False)
    found = decode_header(log)
    assert found
    assert found[0] == HEADER
    assert decode_header(log[1:]) is None
    assert decode_header(b"") is None


@given(lists_of_frames, st.data(), st.booleans())
def test_every_reader_gets_the_frames_that_it_lacks(
    frames: list[bytes], data: st.DataObject, failed: bool
) -> None:
    known = data.draw(st.integers(0, len(frames)))
    whole = encode(frames, 0, ended=True, failed=failed)
    assert decode(whole, known) == Part(frames[known:], ended=True, failed=failed)
    rest = encode(frames[known:], known, ended=False, failed=False)
    assert decode(rest, known) == Part(frames[known:])


def test_what_was_written_twice_is_read_once() -> None:
    first = encode(FRAMES[:2], 0, ended=False, failed=False)
    rest = encode(FRAMES[2:], 2, ended=True, failed=False)
    assert decode(first + first + rest, 0) == Part(FRAMES, ended=True)
    assert decode(first + rest, 1) == Part(FRAMES[1:], ended=True)


def test_a_gap_and_a_piece_of_a_record_are_torn() -> None:
    rest = encode(FRAMES[2:], 2, ended=True, failed=False)
    assert decode(rest, 1) == Part([], torn=True)
    assert decode(rest[3:], 2).torn
    assert decode(b"\0\0\0" + rest, 2).torn


@given(lists_of_frames, st.integers(0, 9))
@example([b"0", b"1", b"2", b"three"], 3)
def test_a_reader_of_a_log_that_was_written_anew_is_told_nothing_wrong(
    frames: list[bytes], known: int
) -> None:
    each = [
        encode([frame], number, ended=False, failed=False) for number, frame in enumerate(frames)
    ]
    anew = encode(frames, 0, ended=True, failed=False)
    known = min(known, len(frames))
    part = decode(anew[len(b"".join(each[:known])) :], known)
    assert part.frames == frames[known : known + len(part.frames)]
    assert not part.ended or known + len(part.frames) == len(frames)
