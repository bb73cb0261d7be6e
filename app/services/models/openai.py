"""Client for OpenAI-compatible model servers.

A failed request is retried and then sent to the fallback model, but only before the first piece of
the answer. Prompts, keys and answers are never logged.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import closing
from functools import partial

import msgspec
from msgspec import Struct

from app import tracing
from app.errors import ModelFailed
from app.infra.http.client import HTTPClient
from app.infra.http.endpoint import Endpoint
from app.infra.http.errors import BadResponse
from app.infra.http.response import Response
from app.infra.http.retry import AttemptFailed, RetryPolicy, is_temporary, parse_retry_after
from app.infra.http.sse import EVENT_LIMIT, BadEvent, SSEDecoder, SSEEvent
from app.services.models.completion import CompletionDecoder, Delta, join_deltas
from app.services.models.prompt import Prompt

log = logging.getLogger(__name__)

# A server that asks for a longer wait (seconds) is not retried: the fallback model answers sooner.
MAX_RETRY_AFTER = 5.0
# The time for all attempts at one model, in first-token timeouts.
ATTEMPTS_BUDGET = 2
# Seconds to wait after the answer for the usage and the end of the body, which lets the connection
# be kept.
TRAILER_TIMEOUT = 0.5
_HINTS = {401: "; check LLM_API_KEY", 403: "; check LLM_API_KEY", 404: "; check LLM_MODEL"}


class ModelConfig(Struct, frozen=True, kw_only=True):
    """Where the model is and how to call it; times in seconds, `attempts` per model."""

    base_url: str
    model: str
    fallback_model: str = ""
    api_key: str = ""
    max_tokens: int | None = None
    temperature: float | None = None
    connect_timeout: float = 5.0
    first_token_timeout: float = 30.0
    silence_timeout: float = 20.0
    attempts: int = 3
    backoff: float = 0.2

    def __repr__(self) -> str:  # Keeps the key out of tracebacks.
        return f"ModelConfig(model={self.model!r}, fallback_model={self.fallback_model!r}, …)"


class _ModelAttemptFailed(AttemptFailed):
    """One attempt failed. `detail` is for the user, `reason` for the log."""

    def __init__(
        self, detail: str, reason: str, retry_after: float | None = None, use_fallback: bool = True
    ) -> None:
        super().__init__(reason, retry_after)
        self.error = ModelFailed(f"The language model {detail}.")
        self.use_fallback = use_fallback


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
        base_url = config.base_url.rstrip("/").removesuffix("/chat/completions")
        headers = {"Content-Type": "application/json"}
        if config.api_key:
            headers["Authorization"] = f"Bearer {config.api_key}"
        self._endpoint = Endpoint.of(f"{base_url}/chat/completions", headers)
        self._http, self._config = http, config
        self._on_retry, self._on_fallback = on_retry, on_fallback
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
        bodies = {model: self._body(model, prompt) for model in models}
        # An answer may take a minute: the prompt is released now, the bodies at the first piece.
        del prompt

        async def attempt(model: str, until: float) -> None:
            answer = _AnswerReader(on_delta, config.silence_timeout, on_start=bodies.clear)
            try:
                response = await self._post(bodies[model], until)
                await self._read(response, until, answer)
            except _ModelAttemptFailed as failure:
                if answer.started:
                    log.warning("model failed in the middle of an answer: %s", failure)
                    raise failure.error from None
                raise

        for model in models:
            try:
                return await self._retry_policy.run(
                    f"request to model {model}", partial(attempt, model), self._on_retry
                )
            except _ModelAttemptFailed as failure:
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
        try:
            async with asyncio.timeout_at(until):
                response = await self._post(self._body(self._config.model, prompt), until)
                await self._read(response, until, _AnswerReader(deltas.append, deadline))
        except (_ModelAttemptFailed, TimeoutError) as error:
            failure = _failure(error) if isinstance(error, TimeoutError) else error
            log.warning("model failed to complete a short answer: %s", failure)
            raise failure.error from None
        return "".join(delta.text for delta in deltas)

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
            raise _failure(error, "cannot be reached") from None

    async def _read(self, response: Response, until: float, answer: "_AnswerReader") -> None:
        """Read an answer whose first piece must arrive by `until`."""
        with closing(response):
            _check(response)
            is_json = response.content_type == "application/json"
            try:
                await response.receive_body(answer.feed_json if is_json else answer.feed, until)
                answer.end()
            except (BadResponse, OSError, BadEvent) as error:
                # An error after the end of the answer is harmless.
                if not answer.finished:
                    raise _failure(error, "stopped in the middle of its answer") from None

    def _body(self, model: str, prompt: Prompt) -> bytes:
        body: dict[str, object] = {
            "model": model,
            "messages": prompt.messages,
            "stream": True,
            "stream_options": {"include_usage": True},
            "max_tokens": self._config.max_tokens,
            "temperature": self._config.temperature,
        }
        return msgspec.json.encode({k: v for k, v in body.items() if v is not None})


class _AnswerReader:
    """Decodes the body of one response, and passes its deltas to `on_delta`.

    `on_start` is called before the first of them.
    """

    def __init__(
        self,
        on_delta: Callable[[Delta], None],
        silence_timeout: float,
        on_start: Callable[[], object] | None = None,
    ) -> None:
        self.started = False
        self._on_delta = on_delta
        self._silence_timeout = silence_timeout
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
        if not events:
            return None
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
            return self._silence_timeout
        return None if was_finished else TRAILER_TIMEOUT

    def feed_json(self, data: bytes) -> None:
        """Collect an answer that is one JSON document. Raises BadEvent."""
        self._json += data
        if len(self._json) > EVENT_LIMIT:
            raise BadEvent("the answer is too large")

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


def _failure(error: Exception, detail: str = "did not answer") -> _ModelAttemptFailed:
    if isinstance(error, TimeoutError):
        return _ModelAttemptFailed("did not answer in time", "timeout", retry_after=0)
    # The system's messages may contain the URL and thus a password; ours contain no secrets.
    is_ours = isinstance(error, (BadEvent, BadResponse))
    reason = str(error) if is_ours else type(error).__name__
    return _ModelAttemptFailed(detail, reason, retry_after=0)


def _check(response: Response) -> None:
    status = response.status
    if status == 200 and response.content_type in ("text/event-stream", "application/json"):
        return
    reason = f"status {status}, content type {response.content_type}{_HINTS.get(status, '')}"
    if status == 200 or is_temporary(status):
        wait = parse_retry_after(response.headers.get("retry-after", ""))
        detail = "is overloaded" if status in (429, 503) else "sent an invalid response"
        raise _ModelAttemptFailed(detail, reason, wait if wait <= MAX_RETRY_AFTER else None)
    # A server may have the fallback model and not this one; a wrong key stays wrong.
    use_fallback = status >= 400 and status not in (401, 403)
    raise _ModelAttemptFailed("rejected the request", reason, use_fallback=use_fallback)
