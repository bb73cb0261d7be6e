"""Read the body of a response as an answer, in whatever form it has."""

from collections.abc import Callable, Iterable

from app.infra.http.sse import BadEvent, SSEDecoder, SSEEvent
from app.services.models.completion import CompletionDecoder, Delta, Phase, join_deltas
from app.services.models.deadlines import AnswerDeadlines
from app.services.models.json_body import JSONDecoder
from app.services.models.thoughts import ThoughtFilter

# Seconds to wait after the finish for text, which proves that it was not the end, and for the usage
# and the end of the body, which lets the connection be kept. Most servers end the body at once.
_TIMEOUTS = {Phase.FINISHED: 5.0, Phase.ENDED: 0.5}
# Bytes of a response. An event is some 400 bytes, so that 150,000 tokens of thoughts fit.
RESPONSE_LIMIT = 64 << 20
# White space and the bytes of a byte order mark, which some servers send first.
_BLANK = b" \t\r\n\xef\xbb\xbf"


class AnswerReader:
    """Decodes the body of one response, and passes its deltas to `on_delta`.

    The body is an event stream, a JSON document, or JSON lines: its first byte decides, since the
    content type is often wrong. `on_start` is called before the first delta.
    """

    def __init__(
        self,
        on_delta: Callable[[Delta], None],
        deadlines: AnswerDeadlines,
        thoughts: ThoughtFilter,
        on_start: Callable[[], object] | None = None,
    ) -> None:
        self.started = False
        self._on_delta = on_delta
        self.deadlines = deadlines
        self._on_start = on_start
        self._decoder: SSEDecoder | JSONDecoder | None = None
        self._completion = CompletionDecoder(thoughts)
        self._left = RESPONSE_LIMIT

    def feed(self, data: bytes) -> float | None:
        """Decode the next bytes.

        Returns the seconds within which the next must arrive, None to keep the deadline. Raises
        BadEvent.
        """
        self._left -= len(data)
        if self._left < 0:
            raise BadEvent(f"the response is larger than {RESPONSE_LIMIT >> 20} MB")
        if self._decoder is None:
            data = data.lstrip(_BLANK)
            if not data:
                return self.deadlines.after_sign_of_life()
            self._decoder = _decoder(data)
        phase = self._completion.phase
        said = self._decode(self._decoder.feed(data))
        if self._completion.phase is Phase.ANSWER:
            # An event without text, such as the first with only a role, is not the first token.
            return self.deadlines.after_text() if said else self.deadlines.after_sign_of_life()
        # Nothing else that arrives after the end of the answer extends the deadline.
        return None if self._completion.phase is phase else _TIMEOUTS[self._completion.phase]

    def end(self, error: Exception | None = None) -> None:
        """Handle the end of the body, or the error that ended it.

        Raises that error or BadEvent if the answer is not complete.
        """
        whole = False
        if error is None:
            if self._decoder is not None:
                self._decode(self._decoder.finish())
            whole = isinstance(self._decoder, JSONDecoder) and self._decoder.count == 1
        # Silence ends an answer whose finish was followed by text. Any other error does not.
        elif self._completion.phase is Phase.ANSWER and not (
            self._completion.finish and isinstance(error, TimeoutError)
        ):
            raise error
        if last := self._completion.end(whole):
            self._emit(last)

    def _decode(self, events: Iterable[SSEEvent]) -> bool:
        """Decode events, and return whether they have text."""
        deltas: list[Delta] = []
        try:
            for event in events:
                if delta := self._completion.decode(event):
                    deltas.append(delta)
        finally:
            # Deltas that arrived together are passed on together.
            if deltas:
                self._emit(deltas[0] if len(deltas) == 1 else join_deltas(deltas))
        return bool(deltas)

    def _emit(self, delta: Delta) -> None:
        if not self.started:
            self.started = True
            if self._on_start is not None:
                self._on_start()
        self._on_delta(delta)


def _decoder(data: bytes) -> SSEDecoder | JSONDecoder:
    """Return the decoder for a body that begins with `data`."""
    if data.startswith(b"<"):
        raise BadEvent("the body is a web page")
    return JSONDecoder() if data.startswith((b"{", b"[")) else SSEDecoder()
