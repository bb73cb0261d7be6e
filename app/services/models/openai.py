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

from app import tracing
from app.errors import ModelFailed
from app.infra.http.client import HTTPClient
from app.infra.http.errors import BadResponse
from app.infra.http.response import Response
from app.infra.http.retry import RetryPolicy
from app.infra.http.sse import BadEvent
from app.services.models.answer_reader import AnswerReader
from app.services.models.completion import Delta, join_deltas
from app.services.models.deadlines import AnswerDeadlines
from app.services.models.failures import ModelAttemptFailed, check_response, to_failure
from app.services.models.prompt import Prompt
from app.services.models.request import ModelConfig, encode_request, endpoint_of

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
        self._endpoint = endpoint_of(config)
        self._http, self._config = http, config
        self._on_retry, self._on_fallback = on_retry, on_fallback
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

        Cancelling it stops the model immediately. Raises ModelFailed.
        """
        config = self._config
        models = [model for model in (config.model, config.fallback_model) if model]
        bodies = {model: encode_request(config, model, prompt) for model in models}
        # An answer may take a minute: the prompt is released now, the bodies at the first piece.
        del prompt

        async def attempt(model: str, until: float) -> None:
            deadlines = AnswerDeadlines(
                asyncio.get_running_loop().time,
                until=until,
                silence=config.silence_timeout,
                thinking=config.thinking_timeout,
            )
            answer = AnswerReader(on_delta, deadlines, on_start=bodies.clear)
            try:
                response = await self._post(bodies[model], until)
                await self._read(response, until, answer)
            except ModelAttemptFailed as failure:
                if answer.started:
                    log.warning("model failed in the middle of an answer: %s", failure)
                    raise failure.error from None
                raise

        for model in models:
            is_last = model == models[-1]
            policy = self._retry_policy if is_last else self._policy_before_fallback
            try:
                return await policy.run(
                    f"request to model {model}", partial(attempt, model), self._on_retry
                )
            except ModelAttemptFailed as failure:
                failed = failure
            if is_last or not failed.use_fallback:
                break
            log.warning("falling back to model %s: %s", models[-1], failed)
            self._on_fallback()
        raise failed.error

    async def complete(self, prompt: Prompt, deadline: float) -> str | None:
        """Return a whole short answer, in one attempt.

        None if it takes longer than `deadline` seconds, or more tokens than it may have. Raises
        ModelFailed.
        """
        deltas: list[Delta] = []
        now = asyncio.get_running_loop().time
        # The timeout below is the only one.
        deadlines = AnswerDeadlines(now, until=inf, silence=inf, thinking=inf)
        body = encode_request(self._config, self._config.model, prompt)
        try:
            async with asyncio.timeout(deadline):
                response = await self._post(body, inf)
                await self._read(response, inf, AnswerReader(deltas.append, deadlines))
        except TimeoutError:
            log.warning("a short answer of the model took too long")
            return None
        except ModelAttemptFailed as failure:
            log.warning("model failed to complete a short answer: %s", failure)
            raise failure.error from None
        answer = join_deltas(deltas)
        if answer.finish == "length":
            log.warning("a short answer of the model took too many tokens")
            return None
        if answer.finish == "refused":
            raise ModelFailed("The language model refused the request.")
        return answer.text

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
            is_json = response.content_type == "application/json"
            try:
                await response.receive_body(answer.feed_json if is_json else answer.feed, until)
                answer.end()
            except (BadResponse, OSError, BadEvent) as error:
                # An error after the end of the answer is harmless.
                if not answer.finished:
                    raise to_failure(error, "stopped in the middle of its answer") from None
