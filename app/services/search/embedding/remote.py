"""Client for OpenAI-compatible embedding servers.

Temporary failures are retried. Texts, keys and responses are never logged.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing

import msgspec
from msgspec import Struct

from app import tracing
from app.infra.connection_errors import describe
from app.infra.http.client import HTTPClient
from app.infra.http.endpoint import Endpoint, api_url
from app.infra.http.errors import BadResponse, ResponseTooLarge
from app.infra.http.response import Response
from app.infra.http.retry import AttemptFailed, RetryPolicy, is_temporary, parse_retry_after
from app.services.search.embedding import EmbeddingFailed, map_concurrently

# Bytes of a response: many times the size of 64 vectors of the largest models.
BODY_LIMIT = 64 * 1024 * 1024
# Sent in place of a blank text, since servers reject a batch that contains one.
_BLANK = "."


class RemoteConfig(Struct, frozen=True, kw_only=True):
    """Where the server is and how to call it; times in seconds.

    `query_model` embeds questions, if it is not the same. A prefix is sent before each text, with a
    space between them. `batch` is the number of texts per request, `concurrency` that of requests
    at once. `attempts`, `timeout`, `deadline` and `backoff` are those of the `RetryPolicy`.
    """

    base_url: str
    model: str
    api_key: str = ""
    query_model: str = ""
    query_prefix: str = ""
    document_prefix: str = ""
    batch: int = 64
    concurrency: int = 4
    timeout: float = 30.0
    deadline: float = 90.0
    attempts: int = 4
    backoff: float = 0.5

    def __repr__(self) -> str:  # Keeps the key out of tracebacks.
        return f"RemoteConfig(model={self.model!r}, …)"


class _Embedding(Struct, frozen=True):
    index: int
    embedding: list[float]


class _EmbeddingList(Struct, frozen=True):
    data: list[_Embedding]


_DECODER = msgspec.json.Decoder(_EmbeddingList)


class RemoteEmbedder:
    """An `Embedder` that calls `POST {base_url}/embeddings`."""

    # A server may have another model under the same name tomorrow.
    dimension = None

    def __init__(
        self,
        http: HTTPClient,
        config: RemoteConfig,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        # Vectors of passages with another prefix must not be mixed with these.
        prefix = config.document_prefix
        self.name = config.model + (f" (document prefix {prefix!r})" if prefix else "")
        headers = {"Content-Type": "application/json"}
        if config.api_key:
            headers["Authorization"] = f"Bearer {config.api_key}"
        self._endpoint = Endpoint.of(api_url(config.base_url, "/embeddings"), headers)
        self._http, self._config = http, config
        self._retry_policy = RetryPolicy(
            attempts=config.attempts,
            timeout=config.timeout,
            deadline=config.deadline,
            backoff=config.backoff,
            sleep=sleep,
        )
        self._dimensions = 0

    async def embed_questions(self, texts: Sequence[str]) -> list[list[float]]:
        """Return a unit-length vector per question, in order. Raises EmbeddingFailed."""
        model = self._config.query_model or self._config.model
        return await self._embed_all(texts, model, self._config.query_prefix)

    async def embed_passages(self, texts: Sequence[str]) -> list[list[float]]:
        """Return a unit-length vector per passage, in order. Raises EmbeddingFailed."""
        return await self._embed_all(texts, self._config.model, self._config.document_prefix)

    async def _embed_all(self, texts: Sequence[str], model: str, prefix: str) -> list[list[float]]:
        inputs = [text if text.strip() else _BLANK for text in texts]
        if prefix:
            inputs = [f"{prefix} {text}" for text in inputs]
        size = self._config.batch
        batches = [inputs[start : start + size] for start in range(0, len(inputs), size)]

        async def embed(batch: Sequence[str]) -> list[list[float]]:
            return await self._embed(batch, model)

        results = await map_concurrently(embed, batches, self._config.concurrency)
        return [vector for vectors in results for vector in vectors]

    async def _embed(self, texts: Sequence[str], model: str) -> list[list[float]]:
        body = msgspec.json.encode({"model": model, "input": texts})

        async def attempt(until: float) -> list[list[float]]:
            return self._decode(await self._post(body, until), len(texts))

        try:
            return await self._retry_policy.run(f"request to embed {len(texts)} texts", attempt)
        except AttemptFailed as failure:
            raise EmbeddingFailed(f"The embedding server {failure}.") from None

    async def _post(self, body: bytes, until: float) -> bytes:
        try:
            response = await self._http.post(
                self._endpoint, body, until=until, headers=tracing.outgoing_headers()
            )
            with closing(response):
                _check(response)
                return await response.read(until, BODY_LIMIT)
        except TimeoutError:
            raise AttemptFailed("did not answer in time", retry_after=0) from None
        except ResponseTooLarge:
            raise AttemptFailed("sent a response that is too large") from None
        except (BadResponse, OSError) as error:
            reason = str(error) if isinstance(error, BadResponse) else describe(error)
            raise AttemptFailed(f"cannot be reached ({reason})", retry_after=0) from None

    def _decode(self, body: bytes, expected: int) -> list[list[float]]:
        """Decode vectors, and check their number and that all have the same dimensions."""
        try:
            items = sorted(_DECODER.decode(body).data, key=lambda item: item.index)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise AttemptFailed("sent an invalid response") from None
        if [item.index for item in items] != list(range(expected)):
            raise AttemptFailed("did not send one vector per text")
        vectors = [_unit(item.embedding) for item in items]
        dimensions = {len(vector) for vector in vectors} | {self._dimensions or len(vectors[0])}
        if len(dimensions) > 1:
            raise AttemptFailed(f"sent vectors of different dimensions {sorted(dimensions)}")
        self._dimensions = dimensions.pop()
        return vectors


def _check(response: Response) -> None:
    status = response.status
    if status == 200:
        return
    if is_temporary(status):
        wait = parse_retry_after(response.headers)
        detail = "is overloaded" if status in (429, 503) else "failed"
        raise AttemptFailed(f"{detail} (status {status})", retry_after=wait)
    rejected = {401: "the key", 403: "the key", 404: "the URL or the model"}.get(status)
    raise AttemptFailed(f"rejected {rejected or 'the texts'} (status {status})")


def _unit(vector: list[float]) -> list[float]:
    length = math.hypot(*vector)
    if not length or not math.isfinite(length):
        raise AttemptFailed("sent a vector that is zero or not finite")
    return [value / length for value in vector]
