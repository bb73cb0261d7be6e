"""Texts come in; the vectors of an OpenAI-compatible embedding server go out.

Tries that a server may answer differently a moment later are repeated. Neither texts nor key nor
what the server said is ever logged.
"""

import asyncio
import logging
import math
import random
from collections.abc import Awaitable, Callable, Sequence

import aiohttp
import msgspec
from msgspec import Struct

from app import tracing
from app.services.models.openai import retry_after
from app.services.search.embedding import EmbeddingFailed, in_order

log = logging.getLogger(__name__)

# Bytes of an answer: many times what 64 vectors of the widest models take.
BODY_LIMIT = 64 * 1024 * 1024
# Servers refuse a batch with a blank text in it; this stands in for one.
_BLANK = "."


class RemoteConfig(Struct, frozen=True, kw_only=True):
    """Where the server is and how to ask it; times in seconds.

    `timeout` bounds a try, `deadline` a batch with all its tries, `attempts` their number.
    """

    base_url: str
    model: str
    api_key: str = ""
    batch: int = 64
    at_once: int = 4
    timeout: float = 30.0
    deadline: float = 90.0
    attempts: int = 4
    backoff: float = 0.5

    def __repr__(self) -> str:  # The key must not reach a log by way of a traceback.
        return f"RemoteConfig(model={self.model!r}, …)"


class _Failure(EmbeddingFailed):
    """A try that failed; `again` says whether a next one may help, `wait` is in seconds."""

    def __init__(self, detail: str, again: bool = False, wait: float = 0) -> None:
        super().__init__(f"The embedding server {detail}.")
        self.again, self.wait = again, wait


class _Item(Struct, frozen=True):
    index: int
    embedding: list[float]


class _Answer(Struct, frozen=True):
    data: list[_Item]


_ANSWER = msgspec.json.Decoder(_Answer)


class RemoteEmbedder:
    """An `Embedder` behind `POST {base_url}/embeddings`."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        config: RemoteConfig,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self.name = config.model
        self._url = f"{config.base_url.rstrip('/').removesuffix('/embeddings')}/embeddings"
        self._headers = {"Content-Type": "application/json"}
        if config.api_key:
            self._headers["Authorization"] = f"Bearer {config.api_key}"
        self._session, self._config, self._sleep = session, config, sleep
        self._dimensions = 0

    async def __call__(self, texts: Sequence[str]) -> list[list[float]]:
        """Return a unit-length vector a text, in order. Raises EmbeddingFailed."""
        size = self._config.batch
        batches = [texts[start : start + size] for start in range(0, len(texts), size)]
        answers = await in_order(self._embed, batches, self._config.at_once)
        return [vector for answer in answers for vector in answer]

    async def _embed(self, texts: Sequence[str]) -> list[list[float]]:
        config = self._config
        asked = [text if text.strip() else _BLANK for text in texts]
        body = msgspec.json.encode({"model": config.model, "input": asked})
        last_moment = _now() + config.deadline
        attempt = 0
        while True:
            attempt += 1
            try:
                answer = await self._post(body, min(_now() + config.timeout, last_moment))
                return self._vectors(answer, len(texts))
            except _Failure as failure:
                log.warning("try %d at embedding %d texts: %s", attempt, len(texts), failure)
                # Batches that were turned away together must not come back together.
                backoff = config.backoff * 2 ** (attempt - 1) * random.uniform(0.5, 1)  # noqa: S311
                wait = max(backoff, failure.wait)
                spent = attempt >= config.attempts or _now() + wait >= last_moment
                if spent or not failure.again:
                    raise
            await self._sleep(wait)

    async def _post(self, body: bytes, until: float) -> bytes:
        try:
            async with (
                asyncio.timeout_at(until),
                self._session.post(
                    self._url,
                    data=body,
                    headers=self._headers | tracing.outgoing(),
                    timeout=aiohttp.ClientTimeout(total=None),
                    # Neither texts nor key go to a place that nobody configured.
                    allow_redirects=False,
                ) as response,
            ):
                _check(response)
                return await _read(response)
        except TimeoutError:
            raise _Failure("did not answer in time", again=True) from None
        except (aiohttp.ClientError, OSError) as error:
            # What aiohttp's errors say holds the address, and that may hold a password.
            reason = type(error).__name__
            raise _Failure(f"cannot be reached ({reason})", again=True) from None

    def _vectors(self, answer: bytes, expected: int) -> list[list[float]]:
        """Decode an answer, and check that it is whole and fits the answers before it."""
        try:
            items = sorted(_ANSWER.decode(answer).data, key=lambda item: item.index)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise _Failure("gave no usable answer") from None
        if [item.index for item in items] != list(range(expected)):
            raise _Failure("did not give one vector a text")
        vectors = [_unit(item.embedding) for item in items]
        dimensions = {len(vector) for vector in vectors} | {self._dimensions or len(vectors[0])}
        if len(dimensions) > 1:
            raise _Failure(f"gave vectors of different dimensions {sorted(dimensions)}")
        self._dimensions = dimensions.pop()
        return vectors


def _now() -> float:
    return asyncio.get_running_loop().time()


def _check(response: aiohttp.ClientResponse) -> None:
    status = response.status
    if status == 200:
        return
    if status in (408, 429) or status >= 500:
        wait = retry_after(response.headers.get("Retry-After", ""))
        detail = "is overloaded" if status in (429, 503) else "failed"
        raise _Failure(f"{detail} (status {status})", again=True, wait=wait)
    fault = {401: "the key", 403: "the key", 404: "the address or the model"}.get(status)
    raise _Failure(f"refuses {fault or 'the texts'} (status {status})")


async def _read(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for data in response.content.iter_any():
        body += data
        if len(body) > BODY_LIMIT:
            raise _Failure("gave no usable answer")
    return bytes(body)


def _unit(vector: list[float]) -> list[float]:
    length = math.hypot(*vector)
    if not length or not math.isfinite(length):
        raise _Failure("gave a vector without a direction")
    return [value / length for value in vector]
