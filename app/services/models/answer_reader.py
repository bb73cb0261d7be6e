"""Read the body of a response as an answer, in whatever form it has."""

from collections.abc import Callable

from app.infra.http.sse import EVENT_LIMIT, BadEvent, SSEDecoder, SSEEvent
from app.services.models.completion import CompletionDecoder, Delta, join_deltas
from app.services.models.deadlines import AnswerDeadlines

# Seconds to wait after the answer for the usage and the end of the body, which lets the connection
# be kept.
TRAILER_TIMEOUT = 0.5


class AnswerReader:
    """Decodes the body of one response, and passes its deltas to `on_delta`.

    `on_start` is called before the first of them.
    """

    def __init__(
        self,
        on_delta: Callable[[Delta], None],
        deadlines: AnswerDeadlines,
        on_start: Callable[[], object] | None = None,
    ) -> None:
        self.started = False
        self._on_delta = on_delta
        self._deadlines = deadlines
        self._on_start = on_start
        self._json = bytearray()
        self._events = SSEDecoder()
        self._completion = CompletionDecoder()

    @property
    def finished(self) -> bool:
        """Whether the model has marked its answer as complete."""
        return self._completion.finished

    def feed(self, data: bytes) -> float | None:
        """Decode the next bytes of an event stream.

        Returns the seconds within which the next must arrive, None to keep the deadline. Raises
        BadEvent.
        """
        events = self._events.feed(data)
        was_finished = self._completion.finished
        deltas: list[Delta] = []
        try:
            for event in events:
                if delta := self._completion.decode(event):
                    deltas.append(delta)
        finally:
            # Deltas that arrived together are passed on together.
            if deltas:
                self._emit(deltas[0] if len(deltas) == 1 else join_deltas(deltas))
        if not self._completion.finished:
            # An event without text, such as the first with only a role, is not the first token.
            return self._deadlines.after_text() if deltas else self._deadlines.after_sign_of_life()
        return None if was_finished else TRAILER_TIMEOUT

    def feed_json(self, data: bytes) -> float:
        """Collect an answer that is one JSON document; see `feed`."""
        self._json += data
        if len(self._json) > EVENT_LIMIT:
            raise BadEvent("the answer is too large")
        return self._deadlines.after_sign_of_life()

    def end(self) -> None:
        """Handle the end of the body. Raises BadEvent if the answer is not complete."""
        if self._json:
            delta = self._completion.decode(SSEEvent(self._json.decode(errors="replace")))
            if delta:
                self._emit(delta)
        if not self._completion.finished:
            raise BadEvent("the body ended before the answer")

    def _emit(self, delta: Delta) -> None:
        if not self.started:
            self.started = True
            if self._on_start is not None:
                self._on_start()
        self._on_delta(delta)
