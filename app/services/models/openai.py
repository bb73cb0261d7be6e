"""Client for OpenAI-compatible model servers.

A failed request is retried and then sent to the fallback model, but only before the first piece of
the answer. Prompts, keys and answers are never logged.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import closing
from functools import partial

from app import tracing
from app.infra.http.client import HTTPClient
from app.infra.http.errors import BadResponse
from app.infra.http.response import Response
from app.infra.http.retry import RetryPolicy
from app.infra.http.sse import BadEvent
from app.services.models.answer_reader import AnswerReader
from app.services.models.completion import Delta
from app.services.models.failures import ModelAttemptFailed, check_response, to_failure
from app.services.models.prompt import Prompt
from app.services.models.request import ModelConfig, encode_request, endpoint_of
from app.services.models.thoughts import ThoughtFilter, ThoughtMarks, begins_with_thoughts

log = logging.getLogger(__name__)

# The time for all attempts at one model, in first-token timeouts.
ATTEMPTS_BUDGET = 2


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
        self._endpoint = endpoint_of(config)
        self._http, self._config = http, config
        self._on_retry, self._on_fallback = on_retry, on_fallback
        self._marks = ThoughtMarks(config.thought_marks)
        # Models whose thoughts have no opening mark.
        self._unmarked: set[str] = set()
        self._retry_policy = RetryPolicy(
            attempts=config.attempts,
            timeout=config.first_token_timeout,
            deadline=ATTEMPTS_BUDGET * config.first_token_timeout,
            backoff=config.backoff,
            sleep=sleep,
        )

    async def stream(self, prompt: Prompt, on_delta: Callable[[Delta], None]) -> None:
        """Pass the answer to `on_delta` as it arrives, and return at its end.

        Cancelling it stops the model immediately. Raises ModelFailed.
        """
        config = self._config
        models = [model for model in (config.model, config.fallback_model) if model]
        bodies = {model: encode_request(config, model, prompt) for model in models}
        # An answer may take a minute: the prompt is released now, the bodies at the first piece.
        del prompt

        async def attempt(model: str, until: float) -> None:
            thoughts = self._thought_filter(model)
            answer = AnswerReader(on_delta, config.silence_timeout, thoughts, bodies.clear)
            try:
                response = await self._post(bodies[model], until)
                await self._read(response, until, answer)
            except ModelAttemptFailed as failure:
                if answer.started:
                    log.warning("model failed in the middle of an answer: %s", failure)
                    raise failure.error from None
                raise
            finally:
                self._remember(model, thoughts)

        for model in models:
            try:
                return await self._retry_policy.run(
                    f"request to model {model}", partial(attempt, model), self._on_retry
                )
            except ModelAttemptFailed as failure:
                failed = failure
            if not failed.use_fallback:
                break
            if model != models[-1]:
                self._on_fallback()
        raise failed.error

    async def complete(self, prompt: Prompt, deadline: float) -> str:
        """Return a whole short answer, in one attempt of at most `deadline` seconds.

        Raises ModelFailed.
        """
        until = asyncio.get_running_loop().time() + deadline
        deltas: list[Delta] = []
        # All thoughts can be removed, for the whole text is needed before any of it.
        thoughts = ThoughtFilter(self._marks, hold=True)
        try:
            async with asyncio.timeout_at(until):
                response = await self._post(
                    encode_request(self._config, self._config.model, prompt), until
                )
                await self._read(response, until, AnswerReader(deltas.append, deadline, thoughts))
        except (ModelAttemptFailed, TimeoutError) as error:
            failure = to_failure(error) if isinstance(error, TimeoutError) else error
            log.warning("model failed to complete a short answer: %s", failure)
            raise failure.error from None
        self._remember(self._config.model, thoughts)
        return "".join(delta.text for delta in deltas)

    def _thought_filter(self, model: str) -> ThoughtFilter:
        hold = model in self._unmarked or begins_with_thoughts(model)
        return ThoughtFilter(self._marks, hold)

    def _remember(self, model: str, thoughts: ThoughtFilter) -> None:
        """Remember a model whose thoughts have no opening mark: they are held back from now on."""
        if thoughts.unmarked and model not in self._unmarked:
            log.info("the thoughts of model %s have no opening mark: its text is held back", model)
            self._unmarked.add(model)

    async def _post(self, body: bytes, until: float) -> Response:
        try:
            return await self._http.post(
                self._endpoint,
                body,
                connect_timeout=self._config.connect_timeout,
                until=until,
                headers=tracing.outgoing_headers(),
            )
        except (BadResponse, OSError) as error:
            raise to_failure(error, "cannot be reached") from None

    async def _read(self, response: Response, until: float, answer: AnswerReader) -> None:
        """Read an answer whose first piece must arrive by `until`."""
        with closing(response):
            check_response(response)
            try:
                try:
                    await response.receive_body(answer.feed, until)
                except (BadResponse, OSError, BadEvent) as error:
                    # An error after the end of the answer is harmless.
                    answer.end(error)
                else:
                    answer.end()
            except (BadResponse, OSError, BadEvent) as error:
                raise to_failure(error, "stopped in the middle of its answer") from None
