"""A prompt comes in; the answer of an OpenAI-compatible model server goes out, piece by piece.

Before the first piece a try that fails is repeated, then the fallback model is asked; after it
nothing is repeated. Neither prompt nor key nor answer is ever logged.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from email.utils import parsedate_to_datetime
from time import time

import msgspec
from msgspec import Struct

from app import tracing
from app.errors import ModelFailed
from app.infra.http.client import HTTPClient
from app.infra.http.content_encoding import BadResponse
from app.infra.http.endpoint import Endpoint
from app.infra.http.response import Response
from app.infra.http.sse import EVENT_LIMIT, BadEvent, SSEDecoder, SSEEvent
from app.services.models.completion import CompletionDecoder, Delta, joined
from app.services.models.prompt import Prompt

log = logging.getLogger(__name__)

# Whoever wants to be left alone for longer (seconds) is given up: the fallback is there sooner.
LONGEST_RETRY_AFTER = 5.0
# How long all tries at one model may take, in first-token time-outs.
BUDGET = 2
# Seconds for the usage and the body's end to follow the answer, so that the connection lives on.
TAIL = 0.5
_SETTING_AT_FAULT = {401: "; see LLM_API_KEY", 403: "; see LLM_API_KEY", 404: "; see LLM_MODEL"}


def _nothing() -> None:
    return None


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
        http: HTTPClient,
        config: ModelConfig,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        base_url = config.base_url.rstrip("/").removesuffix("/chat/completions")
        headers = {"Content-Type": "application/json"}
        if config.api_key:
            headers["Authorization"] = f"Bearer {config.api_key}"
        self._endpoint = Endpoint.of(f"{base_url}/chat/completions", headers)
        self._http, self._config, self._sleep = http, config, sleep
        # Called before a model is tried again, and before the fallback model is.
        self.on_retry: Callable[[], None] = _nothing
        self.on_fallback: Callable[[], None] = _nothing

    async def stream(self, prompt: Prompt, take: Callable[[Delta], None]) -> None:
        """Give the answer to `take` as it comes, to its end; cancelled, it stops the model at once.

        Raises ModelFailed.
        """
        config = self._config
        models = [model for model in (config.model, config.fallback_model) if model]
        bodies = {model: self._body(model, prompt) for model in models}
        # An answer may take a minute: this is let go of now, and what was sent once it has begun.
        del prompt
        for model in models:
            last_moment = _now() + BUDGET * config.first_token_timeout
            for attempt in range(config.attempts):
                reply = _Reply(take, config.silence_timeout, bodies.clear)
                until = min(_now() + config.first_token_timeout, last_moment)
                try:
                    response = await self._ask(bodies[model], until)
                    return await self._read(response, until, reply)
                except _Failure as failure:
                    if reply.begun:
                        log.warning("the model failed in the middle: %s", failure.reason)
                        raise
                    log.warning("try %d at model %s: %s", attempt + 1, model, failure.reason)
                    failed = failure
                # Clients that were turned away together must not come back together.
                backoff = config.backoff * 2**attempt * random.uniform(0.5, 1)  # noqa: S311
                wait = max(backoff, failed.wait)
                spent = attempt + 1 == config.attempts or _now() + wait >= last_moment
                if spent or not failed.again:
                    break
                await self._sleep(wait)
                self.on_retry()
            if not failed.elsewhere:
                break
            if model == config.model and config.fallback_model:
                self.on_fallback()
        raise failed

    async def complete(self, prompt: Prompt, deadline: float) -> str:
        """Return a short answer whole, in one try of at most `deadline` seconds, or ModelFailed."""
        until = _now() + deadline
        said: list[Delta] = []
        try:
            async with asyncio.timeout_at(until):
                response = await self._ask(self._body(self._config.model, prompt), until)
                await self._read(response, until, _Reply(said.append, deadline))
        except _Failure as failure:
            log.warning("a short answer failed: %s", failure.reason)
            raise
        except TimeoutError as error:
            raise _broken(error) from None
        return "".join(delta.text for delta in said)

    async def _ask(self, body: bytes, until: float) -> Response:
        """Ask once; the head of the response is due at the moment `until`."""
        try:
            return await self._http.post(
                self._endpoint,
                body,
                connect_timeout=self._config.connect_timeout,
                until=until,
                headers=tracing.outgoing(),
            )
        except (BadResponse, OSError) as error:
            raise _broken(error, "cannot be reached") from None

    async def _read(self, response: Response, until: float, reply: "_Reply") -> None:
        """Have the reply take the body; the first of it is due at the moment `until`."""
        with closing(response):
            _check(response)
            whole = response.content_type == "application/json"
            try:
                await response.body(reply.feed_whole if whole else reply.feed, until)
                reply.end()
            except (BadResponse, OSError, BadEvent) as error:
                # What is wrong after the answer's own end is no matter.
                if not reply.finished:
                    raise _broken(error) from None

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
    """One answer on its way: its body's bytes come in, its deltas go to `take`."""

    def __init__(
        self,
        take: Callable[[Delta], None],
        silence: float,
        on_begun: Callable[[], None] = _nothing,
    ) -> None:
        # Whether anything was taken: then there is no other try.
        self.begun = False
        self._take = take
        self._silence = silence
        self._on_begun = on_begun
        self._whole = bytearray()
        self._events = SSEDecoder()
        self._answer = CompletionDecoder()

    @property
    def finished(self) -> bool:
        """Whether the model has said that its answer is whole."""
        return self._answer.finished

    def feed(self, data: bytes) -> float | None:
        """Take a piece of a stream; tell in how many seconds the next is due. Raises BadEvent."""
        events = self._events.feed(data)
        if not events:
            return None
        finished = self._answer.finished
        said: list[Delta] = []
        try:
            for event in events:
                if delta := self._answer.decode(event):
                    said.append(delta)
        finally:
            if said:
                if not self.begun:
                    self.begun = True
                    self._on_begun()
                # What came together goes on together, and is not taken apart only to be joined.
                self._take(said[0] if len(said) == 1 else joined(said))
        if not self._answer.finished:
            return self._silence
        return None if finished else TAIL

    def feed_whole(self, data: bytes) -> None:
        """Take a piece of an answer that is one JSON document. Raises BadEvent."""
        self._whole += data
        if len(self._whole) > EVENT_LIMIT:
            raise BadEvent("the answer is too large")

    def end(self) -> None:
        """Take the body's end. Raises BadEvent where the answer has none."""
        if self._whole:
            delta = self._answer.decode(SSEEvent(self._whole.decode("utf-8", "replace")))
            if delta:
                self.begun = True
                self._take(delta)
        if not self._answer.finished:
            raise BadEvent("the body ended before the answer did")


def _now() -> float:
    return asyncio.get_running_loop().time()


def _broken(error: Exception, detail: str = "broke off its answer") -> _Failure:
    # What the system's errors say may hold an address, and that may hold a password.
    told = isinstance(error, (BadEvent, BadResponse))
    reason = str(error) if told else type(error).__name__
    return _Failure("did not answer in time" if isinstance(error, TimeoutError) else detail, reason)


def _check(response: Response) -> None:
    status = response.status
    if status == 200 and response.content_type in ("text/event-stream", "application/json"):
        return
    reason = f"status {status}, {response.content_type}{_SETTING_AT_FAULT.get(status, '')}"
    if status == 200 or status in (408, 429) or status >= 500:
        wait = retry_after(response.headers.get("retry-after", ""))
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
