"""Client for OpenAI-compatible model servers.

A failed request is retried and then sent to the fallback model, but only before the first piece of
the answer. A request that timed out is not retried: the server may still work on it. Prompts, keys
and answers are never logged.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import closing
from functools import partial
from math import inf

from msgspec.structs import replace

from app.errors import ModelFailed
from app.infra.http.client import HTTPClient
from app.infra.http.errors import BadResponse
from app.infra.http.response import Response
from app.infra.http.retry import RetryPolicy
from app.infra.http.sse import BadEvent
from app.services.models.answer_reader import AnswerReader
from app.services.models.completion import Delta, join_deltas
from app.services.models.deadlines import AnswerDeadlines
from app.services.models.failures import ModelAttemptFailed, to_failure
from app.services.models.prompt import Prompt, PromptTooLong
from app.services.models.request import ModelConfig
from app.services.models.server import ServedModel
from app.services.models.thoughts import ThoughtFilter, ThoughtMarks, begins_with_thoughts

log = logging.getLogger(__name__)

# Seconds after which no attempt begins at a model that has a fallback.
FALLBACK_AFTER = 5.0


class OpenAIModel:
    """A `LanguageModel` that calls `POST {base_url}/chat/completions`.

    `on_retry` is called before each further attempt at a model, `on_fallback` before the first one
    at the fallback model.
    """

    def __init__(
        self,
        http: HTTPClient,
        config: ModelConfig,
        *,
        on_retry: Callable[[], object],
        on_fallback: Callable[[], object],
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._config = config
        self._models = [ServedModel(http, config, *model) for model in config.models]
        self._short_model = self._models[0]
        if config.short_model not in ("", config.model):
            self._short_model = ServedModel(http, config, config, config.short_model)
        self._on_retry, self._on_fallback = on_retry, on_fallback
        self._marks = ThoughtMarks(config.thought_marks)
        # Models whose thoughts have no opening mark.
        self._unmarked: set[str] = set()
        self._retry_policy = RetryPolicy(
            attempts=config.attempts,
            timeout=config.first_token_timeout,
            deadline=config.first_token_timeout,
            backoff=config.backoff,
            sleep=sleep,
        )
        self._policy_before_fallback = replace(
            self._retry_policy, deadline=min(FALLBACK_AFTER, config.first_token_timeout)
        )

    async def stream(self, prompt: Prompt, on_delta: Callable[[Delta], None]) -> None:
        """Pass the answer to `on_delta` as it arrives, and return at its end.

        If the provider refuses the prompt, the answer is a Delta without text that says so.
        Cancelling it stops the model immediately. Raises ModelFailed, in particular PromptTooLong.
        """
        # An answer may take a minute: the prompt is released at its first piece.
        pending = [prompt]
        del prompt

        async def attempt(model: ServedModel, until: float) -> None:
            deadlines = AnswerDeadlines(
                asyncio.get_running_loop().time,
                until=until,
                silence=self._config.silence_timeout,
                thinking=self._config.thinking_timeout,
            )
            thoughts = self._thought_filter(model.name)
            answer = AnswerReader(on_delta, deadlines, thoughts, pending.clear)
            try:
                response = await model.ask(pending[0].messages, until)
                await self._read(response, until, answer)
            except ModelAttemptFailed as failure:
                if answer.started:
                    log.warning("model %s failed in the middle of an answer: %s", model, failure)
                    raise failure.error from None
                raise
            finally:
                self._remember(model.name, thoughts)

        failures: list[ModelAttemptFailed] = []
        for model in self._models:
            if failures:
                if not failures[0].use_fallback and model.endpoint == self._models[0].endpoint:
                    break
                log.warning("falling back to model %s: %s", model, failures[0])
                self._on_fallback()
            is_last = model is self._models[-1]
            policy = self._retry_policy if is_last else self._policy_before_fallback
            try:
                name = f"request to model {model}"
                return await policy.run(name, partial(attempt, model), self._on_retry)
            except ModelAttemptFailed as failure:
                if failure.kind == "filtered":
                    return on_delta(Delta(finish="refused"))
                failures.append(failure)
        if any(failure.kind == "too long" for failure in failures):
            raise PromptTooLong(pending[0])
        raise failures[-1].error

    async def complete(self, prompt: Prompt, deadline: float) -> str | None:
        """Return a whole short answer, in one attempt.

        None if it takes longer than `deadline` seconds, or more tokens than it may have. Raises
        ModelFailed.
        """
        model = self._short_model
        deltas: list[Delta] = []
        # All thoughts can be removed, for the whole text is needed before any of it.
        thoughts = ThoughtFilter(self._marks, hold=True)
        now = asyncio.get_running_loop().time
        # The timeout below is the only one.
        deadlines = AnswerDeadlines(now, until=inf, silence=inf, thinking=inf)
        try:
            async with asyncio.timeout(deadline):
                response = await model.ask(prompt.messages, inf, short=True)
                await self._read(response, inf, AnswerReader(deltas.append, deadlines, thoughts))
        except TimeoutError:
            log.warning("a short answer of model %s took longer than %g s", model.name, deadline)
            return None
        except ModelAttemptFailed as failure:
            log.warning("model %s failed to give a short answer: %s", model.name, failure)
            if failure.kind == "cut":
                return None
            raise failure.error from None
        finally:
            self._remember(model.name, thoughts)
        answer = join_deltas(deltas)
        if answer.finish == "length":
            log.warning("a short answer of model %s took too many tokens", model.name)
            return None
        if answer.finish == "refused":
            raise ModelFailed("The language model refused the request.")
        return answer.text

    def _thought_filter(self, model: str) -> ThoughtFilter:
        hold = self._marks.unmarked or model in self._unmarked or begins_with_thoughts(model)
        return ThoughtFilter(self._marks, hold)

    def _remember(self, model: str, thoughts: ThoughtFilter) -> None:
        """Remember whether a model's thoughts have no opening mark: its text is then held back."""
        if thoughts.unmarked is False:
            self._unmarked.discard(model)
        elif thoughts.unmarked and model not in self._unmarked:
            log.info("the thoughts of model %s have no opening mark: its text is held back", model)
            self._unmarked.add(model)

    async def _read(self, response: Response, until: float, answer: AnswerReader) -> None:
        """Read an answer whose first piece must arrive by `until`."""
        with closing(response):
            try:
                try:
                    await response.receive_body(answer.feed, until)
                except (BadResponse, OSError, BadEvent) as error:
                    # An error after the end of the answer is harmless.
                    answer.end(error)
                else:
                    answer.end()
            except TimeoutError:
                raise to_failure(TimeoutError(answer.deadlines.reached())) from None
            except (BadResponse, OSError, BadEvent) as error:
                interrupted = "stopped in the middle of its answer"
                detail = interrupted if answer.started else "sent an invalid response"
                raise to_failure(error, detail) from None
