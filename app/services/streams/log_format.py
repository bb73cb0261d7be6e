"""Frames of a turn come in; the bytes of its log in Redis go out, and the other way about. Pure.

A log is one string: a header, records, and at last an end. A record is what was written at a time:
the number of its first frame, and the frames; the end has the number of all. The control characters
between them cannot be in a frame, since JSON escapes them. The numbers make the log readable
whatever happened to a write: what came twice or lacks something before it shows, and so does a log
that was written anew in other records, to a reader that goes on where it was.
"""

from collections.abc import Sequence

from msgspec import Struct

NUMBER, UNIT, RECORD = b"\x1d", b"\x1f", b"\x1e"
HEADER = b"log" + UNIT
END, DONE, FAILED = b"end%d", b"done", b"failed"


class Header(Struct, frozen=True):
    """The conversation of a turn, and the worker that runs it."""

    conversation_id: str
    worker: str


class Part(Struct, frozen=True):
    """What a reader that knew some frames has learnt from a part of a log.

    `ended` and `failed` say whether the last frame is there, and is an error. `torn` says that the
    part does not go on where the reader was: it has to read the log again from the start.
    """

    frames: list[bytes]
    ended: bool = False
    failed: bool = False
    torn: bool = False


def encode_header(header: Header) -> bytes:
    """Make the beginning of a log."""
    return HEADER + header.conversation_id.encode() + UNIT + header.worker.encode() + RECORD


def encode(frames: Sequence[bytes], first: int, *, ended: bool, failed: bool) -> bytes:
    """Make a record of frames, the first of them number `first`, and the end where it is."""
    record = b"\x1d%d\x1f%b\x1e" % (first, UNIT.join(frames)) if frames else b""
    if ended:
        record += END % (first + len(frames)) + UNIT + (FAILED if failed else DONE) + RECORD
    return record


def decode_header(log: bytes) -> tuple[Header, bytes] | None:
    """Split a whole log into its header and the records; None where it has no header."""
    if not log.startswith(HEADER):
        return None
    head, _, records = log.partition(RECORD)
    _, conversation_id, worker = head.decode().split(UNIT.decode())
    return Header(conversation_id, worker), records


def decode(records: bytes, known: int) -> Part:
    """Read the records that follow where `known` frames are known; what is known is passed over."""
    frames: list[bytes] = []
    for record in records.split(RECORD)[:-1]:
        head, *contents = record.split(UNIT)
        mark, number = head[:1], head[1:]
        following = known + len(frames)
        if head == END % following:
            return Part(frames, ended=True, failed=contents == [FAILED])
        if mark != NUMBER or not number.isdigit() or int(number) > following:
            return Part(frames, torn=True)
        frames += contents[following - int(number) :]
    return Part(frames)
