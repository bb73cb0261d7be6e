"""How long to wait for the next bytes of an answer."""

from collections.abc import Callable


class AnswerDeadlines:
    """The deadlines of one answer; times in seconds, by the clock `now`.

    The first text must arrive at the time `until`, each further one within `silence`. Bytes without
    text, such as comments and reasoning, are signs of life: after each the next bytes may take
    `silence`, but the next text at most `thinking`. That includes the first.
    """

    def __init__(
        self, now: Callable[[], float], *, until: float, silence: float, thinking: float
    ) -> None:
        self._now = now
        self._silence = silence
        self._thinking = thinking
        self._first = until - now()
        self._until = self._end = until
        self._limit: float | None = now() + thinking

    def after_text(self) -> float:
        """Return the seconds within which the next bytes must arrive."""
        # The clock is read at the next sign of life: most answers have none after their first text.
        self._limit = None
        return self._silence

    def after_sign_of_life(self) -> float:
        """Return the seconds within which the next bytes must arrive; not positive if too late."""
        now = self._now()
        if self._limit is None:
            self._until, self._limit = now, now + self._thinking
        self._end = max(self._until, min(now + self._silence, self._limit))
        return self._end - now

    def reached(self) -> str:
        """Say which limit has been reached, and its setting."""
        if self._limit is not None and self._end <= self._until:
            return f"no text within {self._first:g} s (LLM_FIRST_TOKEN_TIMEOUT)"
        if self._limit is not None and self._end >= self._limit:
            return f"no text for {self._thinking:g} s (LLM_THINKING_TIMEOUT)"
        return f"no sign of life for {self._silence:g} s (LLM_SILENCE_TIMEOUT)"
