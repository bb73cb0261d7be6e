"""Examples for training: searches of a library for questions that it answers or does not."""

from collections.abc import Sequence

from msgspec import Struct

from app.infra.database import Connection
from app.services.ingest.store.indexer import Indexer
from app.services.search.answerability import Regime
from app.services.search.calibration import Searches
from app.services.search.calibration_questions import read_calibration_questions
from app.services.search.plan import load_search_plan
from app.services.search.thresholds import Ranking, group_by_regime

# Questions of each kind and library that are searched.
MAX_QUESTIONS = 400


class Rankings(Struct, frozen=True):
    """The results of a library, by regime: for answerable, unanswerable and off-topic questions.

    Off-topic ones calibrate the library; unanswerable ones also include other sets' questions.
    """

    answerable: dict[Regime, list[Ranking]]
    unanswerable: dict[Regime, list[Ranking]]
    off_topic: dict[Regime, list[Ranking]]


class TrainingLibrary(Struct, frozen=True):
    """A library's results in hybrid and in lexical search."""

    name: str
    passages: int
    hybrid: Rankings
    lexical: Rankings


async def search_library(
    connection: Connection,
    indexer: Indexer,
    name: str,
    answerable: Sequence[str],
    translated: Sequence[str],
    unanswerable: Sequence[str],
) -> TrainingLibrary:
    """Search a library for the questions, and for those that it is calibrated on.

    `translated` are answerable questions in other languages, which lexical search cannot answer.
    """
    embedder = indexer.embedder
    plan = await load_search_plan(
        connection, embedder.name if embedder else None, pgvector=indexer.pgvector
    )
    questions = await read_calibration_questions(connection)
    off_topic = questions.own_language + questions.foreign

    async def search(*, hybrid: bool) -> Rankings:
        searches = Searches(
            connection, plan, embedder if hybrid else None, indexer.alpha, indexer.per_document
        )

        async def run(texts: Sequence[str]) -> dict[Regime, list[Ranking]]:
            found = await searches.run(texts, lambda done: None)
            return group_by_regime(texts, found, questions.configuration)

        calibrating = await searches.run(off_topic, lambda done: None)
        return Rankings(
            answerable=await run([*answerable, *translated] if hybrid else answerable),
            unanswerable=await run(sample(unanswerable)),
            off_topic=group_by_regime(off_topic, calibrating, questions.configuration),
        )

    return TrainingLibrary(
        name,
        questions.passages,
        hybrid=await search(hybrid=True),
        lexical=await search(hybrid=False),
    )


def sample(questions: Sequence[str]) -> list[str]:
    """Return at most MAX_QUESTIONS, evenly spaced."""
    if len(questions) <= MAX_QUESTIONS:
        return list(questions)
    return [questions[i * len(questions) // MAX_QUESTIONS] for i in range(MAX_QUESTIONS)]
