"""A prompt comes in; the answer of an OpenAI-compatible model server goes out, piece by piece.

Before the first piece a try that fails is repeated, then the fallback model is asked; after it
nothing is repeated. Neither prompt nor key nor answer is ever logged.
"""

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import closing, suppress
from email.utils import parsedate_to_datetime
from time import time

import aiohttp
import msgspec
from msgspec import Struct

from app.errors import ModelFailed
from app.services.completion import CompletionDecoder, Delta
from app.services.prompt import Prompt
from app.services.sse import EVENT_LIMIT, BadEvent, SSEDecoder, SSEEvent

log = logging.getLogger(__name__)

# Whoever wants to be left alone for longer (seconds) is given up: the fallback is there sooner.
LONGEST_RETRY_AFTER = 5.0
# How long all tries at one model may take, in first-token time-outs.
BUDGET = 2
# Seconds for the usage and the body's end to follow the answer, so that the connection lives on.
TAIL = 0.5
_SETTING_AT_FAULT = {401: "; see LLM_API_KEY", 403: "; see LLM_API_KEY", 404: "; see LLM_MODEL"}


class ModelConfig(Struct, frozen=True, kw_only=True):
    """Where the model is and how to ask it; times in seconds, `attempts` per model."""

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

    def __repr__(self) -> str:  # The key must not reach a log by way of a traceback.
        return f"ModelConfig(model={self.model!r}, fallback_model={self.fallback_model!r}, …)"


class _Failure(ModelFailed):
    """A try that failed, and which model is worth a next one; `wait` is in seconds."""

    def __init__(
        self, detail: str, reason: str, again: bool = True, elsewhere: bool = True, wait: float = 0
    ) -> None:
        super().__init__(f"The language model {detail}.")
        self.reason, self.again, self.elsewhere, self.wait = reason, again, elsewhere, wait


class OpenAIModel:
    """A `LanguageModel` behind `POST {base_url}/chat/completions`."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        config: ModelConfig,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        base_url = config.base_url.rstrip("/").removesuffix("/chat/completions")
        self._url = f"{base_url}/chat/completions"
        self._headers = {"Content-Type": "application/json"}
        if config.api_key:
            self._headers["Authorization"] = f"Bearer {config.api_key}"
        self._timeout = aiohttp.ClientTimeout(total=None, connect=config.connect_timeout)
        self._session, self._config, self._sleep = session, config, sleep

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Delta, None]:
        """Yield the answer as it comes; closing the generator stops the model at once.

        What arrived together is yielded without waiting in between. Raises ModelFailed.
        """
        reply = await self._begin(prompt)
        with closing(reply):
            deltas = reply.first
            while True:
                for delta in deltas:
                    yield delta
                if reply.ended:
                    return
                try:
                    deltas = await reply.read(_now() + self._config.silence_timeout)
                except _Failure as failure:
                    log.warning("the model failed in the middle: %s", failure.reason)
                    raise

    async def complete(self, prompt: Prompt, deadline: float) -> str:
        """Return a short answer whole, in one try of at most `deadline` seconds, or ModelFailed."""
        until = _now() + deadline
        try:
            async with asyncio.timeout_at(until):
                reply = await self._attempt(self._config.model, prompt, until)
                with closing(reply):
                    deltas = reply.first
                    while not reply.ended:
                        deltas += await reply.read(until)
        except _Failure as failure:
            log.warning("a short answer failed: %s", failure.reason)
            raise
        except TimeoutError as error:
            raise _broken(error) from None
        return "".join(delta.text for delta in deltas)

    async def _begin(self, prompt: Prompt) -> "_Reply":
        config = self._config
        for model in filter(None, (config.model, config.fallback_model)):
            last_moment = _now() + BUDGET * config.first_token_timeout
            for attempt in range(config.attempts):
                until = min(_now() + config.first_token_timeout, last_moment)
                try:
                    return await self._attempt(model, prompt, until)
                except _Failure as failure:
                    log.warning("try %d at model %s: %s", attempt + 1, model, failure.reason)
                    failed = failure
                # Clients that were turned away together must not come back together.
                backoff = config.backoff * 2**attempt * random.uniform(0.5, 1)  # noqa: S311
                wait = max(backoff, failed.wait)
                spent = attempt + 1 == config.attempts or _now() + wait >= last_moment
                if spent or not failed.again:
                    break
                await self._sleep(wait)
            if not failed.elsewhere:
                break
        raise failed

    async def _attempt(self, model: str, prompt: Prompt, until: float) -> "_Reply":
        """Ask once and wait for the first deltas; the first sign of life is due at `until`."""
        try:
            async with asyncio.timeout_at(until):
                response = await self._session.post(
                    self._url,
                    data=self._body(model, prompt),
                    headers=self._headers,
                    timeout=self._timeout,
                    # Neither prompt nor key goes to a place that nobody configured.
                    allow_redirects=False,
                )
        except (aiohttp.ClientError, OSError) as error:
            raise _broken(error, "cannot be reached") from None
        reply = _Reply(response)
        try:
            _check(response)
            reply.first = await reply.read(until)
            while not reply.first:
                reply.first = await reply.read(_now() + self._config.silence_timeout)
        except BaseException:
            reply.close()
            raise
        return reply

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


class _Reply:
    """One answer on its way: its `first` deltas, and whether its body has `ended`."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.first: list[Delta] = []
        self.ended = False
        self.close = response.close
        self._response = response
        self._events = SSEDecoder()
        self._answer = CompletionDecoder()
        self._tail_until: float | None = None

    async def read(self, until: float) -> list[Delta]:
        """Wait for the next event and return the deltas of all that came with it."""
        try:
            async with asyncio.timeout_at(self._tail_until or until):
                events = await self._next_events()
            if not events and not self._answer.finished:
                raise BadEvent("the body ended before the answer did")
            deltas = [delta for event in events if (delta := self._answer.decode(event))]
        except (aiohttp.ClientError, OSError, BadEvent) as error:
            if not self._answer.finished:
                raise _broken(error) from None
            events, deltas = [], []
        self.ended = not events
        if self._answer.finished and self._tail_until is None:
            self._tail_until = _now() + TAIL
        return deltas

    async def _next_events(self) -> list[SSEEvent]:
        content = self._response.content
        if self._response.content_type == "application/json":
            body = bytearray()
            while data := await content.readany():
                body += data
                if len(body) > EVENT_LIMIT:
                    raise BadEvent("the answer is too large")
            return [SSEEvent(body.decode("utf-8", "replace"))] if body else []
        while data := await content.readany():
            if events := self._events.feed(data):
                return events
        return []


def _now() -> float:
    return asyncio.get_running_loop().time()


def _broken(error: Exception, detail: str = "broke off its answer") -> _Failure:
    # What aiohttp's errors say holds the address, and that may hold a password.
    reason = str(error) if isinstance(error, BadEvent) else type(error).__name__
    return _Failure("did not answer in time" if isinstance(error, TimeoutError) else detail, reason)


def _check(response: aiohttp.ClientResponse) -> None:
    status = response.status
    if status == 200 and response.content_type in ("text/event-stream", "application/json"):
        return
    reason = f"status {status}, {response.content_type}{_SETTING_AT_FAULT.get(status, '')}"
    if status == 200 or status in (408, 429) or status >= 500:
        wait = retry_after(response.headers.get("Retry-After", ""))
        detail = "is overloaded" if status in (429, 503) else "gave no usable answer"
        raise _Failure(detail, reason, again=wait <= LONGEST_RETRY_AFTER, wait=wait)
    # Another model may be known where this one is not, but a key or an address stays wrong.
    elsewhere = status >= 400 and status not in (401, 403)
    raise _Failure("does not take questions", reason, again=False, elsewhere=elsewhere)


def retry_after(value: str) -> float:
    """Read seconds or an HTTP date as seconds from now; 0 where it is neither."""
    with suppress(ValueError):
        return max(0.0, float(value))
    with suppress(ValueError, OverflowError):
        return max(0.0, parsedate_to_datetime(value).timestamp() - time())
    return 0.0
