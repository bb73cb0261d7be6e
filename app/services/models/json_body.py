"""Split a body of JSON into the events of an event stream."""

import json

from app.infra.http.sse import EVENT_LIMIT, BadEvent, SSEEvent


class JSONDecoder:
    """Decodes one JSON document, or one per line if the first line is a whole one.

    `count` is the number of documents so far.
    """

    def __init__(self) -> None:
        self.count = 0
        # Whether there is one per line, once that is known.
        self._by_line: bool | None = None
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[SSEEvent]:
        """Return the lines that the next bytes complete.

        Raises BadEvent if a line or the document is larger than the limit of an event.
        """
        self._buffer += data
        lines = self._lines() if b"\n" in data else []
        if len(self._buffer) > EVENT_LIMIT:
            raise BadEvent(f"the answer is larger than {EVENT_LIMIT} bytes")
        return self._events(lines)

    def finish(self) -> list[SSEEvent]:
        """Return the document, or an unfinished last line."""
        return self._events([self._buffer])

    def _lines(self) -> list[bytearray]:
        if self._by_line is None:
            self._by_line = _is_json(self._buffer.partition(b"\n")[0])
        if not self._by_line:
            return []
        *lines, self._buffer = self._buffer.split(b"\n")
        return lines

    def _events(self, documents: list[bytearray]) -> list[SSEEvent]:
        texts = [document.decode(errors="replace") for document in documents if document.strip()]
        self.count += len(texts)
        return [SSEEvent(text) for text in texts]


def _is_json(line: bytearray) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True
