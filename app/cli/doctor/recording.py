"""Record a stream: when each event arrives, and what comes between."""

import time
from http.client import HTTPException
from typing import Any

import msgspec
from msgspec import Struct

from app.cli.ask.client import FINAL_EVENTS
from app.cli.ask.retry import reason
from app.cli.ask.service import Service
from app.infra.http.content_encoding import decompressor_for
from app.infra.http.errors import BadResponse
from app.infra.http.sse import BadEvent, SSEDecoder, SSEEvent

# Seconds without a byte of the stream, and for all of it.
SILENCE_LIMIT, STREAM_LIMIT = 40.0, 180.0
# Encodings that browsers accept too: a proxy that compresses may hold events back.
ENCODINGS = "gzip, deflate"


class Recording(Struct):
    """A stream: each event with its time, in seconds from the request, and what was between."""

    turn_id: str = ""
    encoding: str = ""
    events: list[tuple[float, SSEEvent]] = msgspec.field(default_factory=list)
    heartbeats: int = 0
    longest_silence: float = 0.0
    seconds: float = 0.0
    problem: str = ""

    @property
    def last(self) -> SSEEvent | None:
        """The last event, if the stream is complete."""
        last = self.events[-1][1] if self.events else None
        return last if last and last.event in FINAL_EVENTS else None


def record(
    service: Service, method: str, path: str, body: bytes | None = None, **headers: str
) -> Recording:
    """Read a stream to its end. Raises HTTPException and OSError until its head has arrived."""
    headers = {
        "Accept": "text/event-stream",
        "Accept-Encoding": ENCODINGS,
        "Content-Type": "application/json",
    } | {name.replace("_", "-"): value for name, value in headers.items()}
    recording, started_at = Recording(), time.perf_counter()
    with service.send(method, path, body, headers, timeout=SILENCE_LIMIT) as response:
        recording.turn_id = response.headers.get("X-Turn-Id", "")
        recording.encoding = content_encoding(response)
        try:
            _read(recording, response, started_at)
        except (HTTPException, OSError, BadEvent, BadResponse) as error:
            recording.seconds = time.perf_counter() - started_at
            recording.problem = reason(error)
    return recording


def content_encoding(response: Any) -> str:
    """Return how a response is compressed, empty if it is not."""
    encoding = str(response.headers.get("Content-Encoding", "")).strip().lower()
    return "" if encoding == "identity" else encoding


def _read(recording: Recording, response: Any, started_at: float) -> None:
    decoder, decompressor = SSEDecoder(), decompressor_for(recording.encoding)
    at = 0.0
    while recording.last is None and recording.seconds < STREAM_LIMIT:
        received = response.read1(1 << 16)
        recording.seconds = time.perf_counter() - started_at
        if not received:
            recording.problem = "the connection was closed"
            return
        data = b"".join(decompressor.decompress(received)) if decompressor else received
        if not data:
            # A part of a compressed block: nothing that a client can use.
            continue
        recording.longest_silence = max(recording.longest_silence, recording.seconds - at)
        at = recording.seconds
        recording.heartbeats += data.startswith(b":") + data.count(b"\n:")
        recording.events += [(at, event) for event in decoder.feed(data)]
