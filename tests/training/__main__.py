"""Learn the weights of the answerability classifier again: `python -m tests.training SET…`.

Takes about twenty minutes on two cores for sets of 50,000 passages. Without --write, the weights
are only printed.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import msgspec

from app.cli.embedded_servers import embedded_servers
from app.cli.eval import open_empty_library
from app.cli.library import show_progress
from app.config import Settings
from app.services.evaluation.beir import BeirDataset
from app.services.evaluation.datasets import Dataset, dataset_language, questions_of, read_datasets
from app.services.evaluation.negatives import negatives_for
from app.services.evaluation.scratch_library import scratch_library
from app.services.search import weights
from tests.training.examples import TrainingLibrary, sample, search_library
from tests.training.learning import learn

WEIGHTS = Path(weights.__file__).with_name(weights.WEIGHTS_FILE)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.training", description=__doc__)
    parser.add_argument("sets", nargs="+", type=Path, metavar="SET", help="as for `app eval`")
    parser.add_argument("--questions", action="append", default=[], type=Path, metavar="FILE")
    parser.add_argument(
        "--same-subject",
        default="",
        metavar="SET,SET",
        help="names of sets on one subject, which may answer each other's questions",
    )
    parser.add_argument("--write", action="store_true", help=f"write {WEIGHTS.name}")
    return parser


async def train(arguments: argparse.Namespace) -> weights.Weights:
    """Ingest and search each set, and learn from all."""
    datasets = read_datasets(arguments.sets, questions=arguments.questions)
    languages = [(dataset, dataset_language(dataset)) for dataset in datasets]
    related = set(filter(None, arguments.same_subject.split(",")))
    settings = Settings.from_environment(os.environ)
    libraries: list[TrainingLibrary] = []
    async with embedded_servers(settings, memory=False) as complete:
        for dataset, language in languages:
            print(f"{dataset.name}: ingesting", file=sys.stderr, flush=True)
            open_library = partial(open_empty_library, complete)
            with show_progress() as progress:
                async with scratch_library(
                    complete.database_url, open_library, dataset, language, progress
                ) as library:
                    print(f"{dataset.name}: searching", file=sys.stderr, flush=True)
                    indexer = library.indexer
                    if indexer.embedder is None:
                        raise SystemExit("EMBEDDING_MODEL: training needs an embedder")
                    embedder = indexer.embedder.name
                    libraries.append(
                        await search_library(
                            library.connection,
                            indexer,
                            dataset.name,
                            sample(questions_of(dataset)),
                            sample(_translated(dataset, datasets)),
                            _unanswerable(dataset, language, languages, related),
                        )
                    )
    return learn(libraries, embedder)


def _translated(dataset: Dataset, datasets: Sequence[Dataset]) -> list[str]:
    """Return the dataset's questions in other languages."""
    return [
        question
        for other in datasets
        if other is not dataset and _is_translation(other, dataset)
        for question in questions_of(other)
    ]


def _is_translation(one: Dataset, other: Dataset) -> bool:
    """Return whether one dataset translates the other: both have the same judgements."""
    if not isinstance(one, BeirDataset) or not isinstance(other, BeirDataset):
        return False
    return {query.id: query.grades for query in one.queries} == {
        query.id: query.grades for query in other.queries
    }


def _unanswerable(
    dataset: Dataset, language: str, others: Sequence[tuple[Dataset, str]], related: set[str]
) -> list[str]:
    """Return questions of the other sets in the same language, but of none on the same subject."""
    unrelated = [
        (one, its_language)
        for one, its_language in others
        if not related.issuperset({one.name, dataset.name})
    ]
    return [one.query for one in negatives_for(dataset, language, unrelated)]


def main() -> None:
    """Learn, and print or write the weights as JSON."""
    arguments = _parser().parse_args()
    learned = msgspec.json.format(msgspec.json.encode(asyncio.run(train(arguments))))
    if arguments.write:
        WEIGHTS.write_bytes(learned + b"\n")
    print(learned.decode())


if __name__ == "__main__":
    main()
