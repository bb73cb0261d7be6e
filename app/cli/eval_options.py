"""The subcommand `eval` and its options."""

import argparse
import asyncio
from pathlib import Path
from typing import TypeAlias

from app.config import Settings

Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_eval(commands: Subparsers) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "eval",
        help="measure search and answers on questions with known answers",
        description="Measure search and answers on questions with known answers. A set is a folder"
        " in BEIR format (corpus.jsonl, queries.jsonl, qrels/*.tsv), or a library with a"
        " questions.jsonl; each is ingested into a temporary database on the same server. Without"
        " a set, the library that is already ingested is measured, and not changed. The formats"
        " and measures are in docs/evaluation.md.",
    )
    parser.add_argument(
        "sets",
        nargs="*",
        type=Path,
        metavar="SET",
        help="a folder of documents and questions (default: the ingested library)",
    )
    parser.add_argument("--split", help="which judgements to use if a set has several: dev, test …")
    parser.add_argument(
        "--within",
        metavar="FIELD",
        help="limit each search to documents with the query's value of this metadata field",
    )
    parser.add_argument(
        "--questions",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="questions for a library; may be repeated",
    )
    parser.add_argument(
        "--negatives",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="questions that must be refused; may be repeated (default: the questions of the other"
        " sets in the same language)",
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="print JSON instead of tables, with the reply to each question about a library",
    )
    parser.set_defaults(command=_eval, usage_error=parser.error)


def _eval(settings: Settings, options: argparse.Namespace) -> int:
    if not options.sets and not options.questions and not options.negatives:
        options.usage_error("give a SET, or --questions about the ingested library")
    if not options.sets and (options.split or options.within):
        options.usage_error("--split and --within are for a SET in BEIR format")
    from app.cli.eval import run_evaluation

    return asyncio.run(
        run_evaluation(
            settings,
            options.sets,
            split=options.split,
            within=options.within,
            questions=options.questions,
            negatives=options.negatives,
            json=options.json,
        )
    )
