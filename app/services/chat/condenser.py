"""A model that rewrites and translates questions for the search, unless it is too slow."""

import logging
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Protocol

from app.errors import ModelFailed
from app.services.models.prompt import Prompt

log = logging.getLogger(__name__)

# Condensing pauses for so many seconds after so many failures among the last requests. A server may
# finish a request whose client has left, and the answer then waits behind it.
PAUSE = 600.0
_MAX_SLOW, _RECENT = 2, 3


class ShortAnswerModel(Protocol):
    """A model that can write one short text."""

    async def complete(self, prompt: Prompt, deadline: float, /) -> str | None:
        """Return the whole text, None if it exceeds `deadline` seconds or the token limit.

        Raises ModelFailed.
        """
        ...


class Condenser:
    """Rewrites questions with a model that has `timeout` seconds for each, by the clock `now`."""

    def __init__(
        self, model: ShortAnswerModel, *, timeout: float, now: Callable[[], float] = monotonic
    ) -> None:
        self._model = model
        self._timeout = timeout
        self._now = now
        self._recent: deque[bool] = deque(maxlen=_RECENT)
        self._paused_until = 0.0

    async def rewrite(self, prompt: Prompt) -> str | None:
        """Return the model's text, None if it has none in time or condensing is paused."""
        if self._now() < self._paused_until:
            return None
        try:
            text = await self._model.complete(prompt, self._timeout)
        except ModelFailed as error:
            log.info("the question was not rewritten: %s", error.detail)
            return None
        self._recent.append(text is None)
        if sum(self._recent) >= _MAX_SLOW and self._now() >= self._paused_until:
            self._recent.clear()
            self._paused_until = self._now() + PAUSE
            log.warning(
                "condensing is paused for %.0f minutes: the model was too slow, or its text too"
                " long, for %d of the last %d questions; set CONDENSE_MODEL to a faster model,"
                " raise CONDENSE_TIMEOUT or CONDENSE_MAX_TOKENS, or set CONDENSE=off",
                PAUSE / 60,
                _MAX_SLOW,
                _RECENT,
            )
        return text
