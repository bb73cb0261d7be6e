"""Encoding of a stream's log, the string in Redis that holds its frames.

A log is a header, then records, then an end mark. A record holds the frames of one write and the
number of the first; the end mark holds the number of all frames. Control characters separate the
parts: frames must not contain them, and JSON escapes them. The numbers let a reader detect
duplicates, gaps, and a log that was rewritten with other record boundaries.
"""

from collections.abc import Sequence

from msgspec import Struct

NUMBER, UNIT, RECORD = b"\x1d", b"\x1f", b"\x1e"
HEADER = b"log" + UNIT
END, DONE, FAILED = b"end%d", b"done", b"failed"


class Header(Struct, frozen=True):
    """The start of a log.

    `metadata` and `owner` are any texts without control characters; `worker` is the id of the
    worker that runs the stream. Only its owner may open or stop a stream; "" is an owner too.
    """

    metadata: str
    worker: str
    owner: str = ""


class Part(Struct, frozen=True):
    """New frames in a part of a log.

    `ended` says that they include the last frame, `failed` that it is an error. `torn` says that
    the part does not continue where the reader was: the reader must start over.
    """

    frames: list[bytes]
    ended: bool = False
    failed: bool = False
    torn: bool = False


def encode_header(header: Header) -> bytes:
    """Return the beginning of a log."""
    fields = [header.metadata, header.worker]
    # Workers of an earlier release write and read two fields.
    if header.owner:
        fields.append(header.owner)
    return HEADER + UNIT.join(field.encode() for field in fields) + RECORD


def encode(frames: Sequence[bytes], first: int, *, ended: bool, failed: bool) -> bytes:
    """Return a record of frames whose first has number `first`, and the end mark if `ended`."""
    record = b"\x1d%d\x1f%b\x1e" % (first, UNIT.join(frames)) if frames else b""
    if ended:
        record += END % (first + len(frames)) + UNIT + (FAILED if failed else DONE) + RECORD
    return record


def decode_header(log: bytes) -> tuple[Header, bytes] | None:
    """Split a whole log into header and records; None if it has no header."""
    if not log.startswith(HEADER):
        return None
    head, _, records = log.partition(RECORD)
    _, *fields = head.decode().split(UNIT.decode())
    return Header(*fields), records


def decode(records: bytes, known: int) -> Part:
    """Decode records for a reader that has the first `known` frames, which are skipped."""
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
