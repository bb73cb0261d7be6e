"""Bytes of a stream of server-sent events come in, in whatever pieces; events go out. Pure.

By the WHATWG specification, with one addition: a limit on the size of an event, so that no peer
fills the memory with a line that never ends.
"""

from msgspec import Struct

BOM = b"\xef\xbb\xbf"
EVENT_LIMIT = 1 << 20
# More digits than any reconnection time needs, and few enough for `int`.
_MOST_DIGITS = 18


class BadEvent(ValueError):
    """An event that cannot be taken: too large, an error of the server's, or nonsense."""


class SSEEvent(Struct, frozen=True):
    """An event: its data, its name, and the last id that the stream has given."""

    data: str
    event: str = "message"
    id: str = ""


class SSEDecoder:
    """Decodes one stream; `retry` is the reconnection time it asked for, in milliseconds."""

    def __init__(self, limit: int = EVENT_LIMIT) -> None:
        self.retry: int | None = None
        self._limit = limit
        self._at_start = True
        self._after_cr = False
        self._line = bytearray()
        self._data: list[bytes] = []
        self._size = 0
        self._event = b""
        self._id = ""

    def feed(self, data: bytes) -> list[SSEEvent]:
        """Take the next bytes and return the events that they complete.

        Bytes that are no UTF-8 become U+FFFD. Raises BadEvent when an event passes the limit
        (in bytes); the events of this call are lost with it, and the decoder is of no more use.
        """
        if self._at_start:
            data = self._skip_bom(data)
        if not data:
            return []
        if self._after_cr and data.startswith(b"\n"):
            data = data[1:]
            self._after_cr = False
            if not data:
                return []
        self._after_cr = data.endswith(b"\r")
        if b"\r" in data:
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        first, *lines = data.split(b"\n")
        self._line += first
        self._check(len(self._line))
        if not lines:
            return []
        lines.insert(0, bytes(self._line))
        self._line = bytearray(lines.pop())
        events = self._decode(lines)
        self._check(len(self._line))
        return events

    def _skip_bom(self, data: bytes) -> bytes:
        data = bytes(self._line) + data
        self._line.clear()
        if len(data) < len(BOM) and BOM.startswith(data):
            self._line += data
            return b""
        self._at_start = False
        return data.removeprefix(BOM)

    def _check(self, length: int) -> None:
        if self._size + length > self._limit:
            raise BadEvent(f"an event is larger than {self._limit} bytes")

    def _decode(self, lines: list[bytes]) -> list[SSEEvent]:
        events: list[SSEEvent] = []
        for line in lines:
            if not line:
                if self._data:
                    events.append(self._dispatch())
                self._event = b""
                continue
            self._check(len(line))
            if line.startswith(b"data:"):
                self._data.append(line[6:] if line.startswith(b"data: ") else line[5:])
                self._size += len(line)
            else:
                self._take_field(line)
        return events

    def _take_field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
            self._size += len(line)
        elif name == b"event":
            self._event = value
        elif name == b"id" and b"\0" not in value:
            self._id = value.decode("utf-8", "replace")
        elif name == b"retry" and value.isdigit() and len(value) <= _MOST_DIGITS:
            self.retry = int(value)

    def _dispatch(self) -> SSEEvent:
        event = SSEEvent(
            data=b"\n".join(self._data).decode("utf-8", "replace"),
            event=self._event.decode("utf-8", "replace") or "message",
            id=self._id,
        )
        self._data.clear()
        self._size = 0
        return event
