"""The command line: `serve` answers, `ask` asks, `ingest` fills the library, `eval` measures it."""

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from app import __version__
from app.cli.ask.exit_status import STATUSES
from app.config import Settings, SettingsError

ENVIRONMENT = """\
settings, from the environment:
  HOST, PORT       where to listen (127.0.0.1, 8000)
  CHRYSOPEDIA_URL  the service that is asked (the one at HOST and PORT)
  DATA_DIR         where the embedded servers keep their files (.data)
  DATABASE_URL     a PostgreSQL of your own; without it an embedded one
  REDIS_URL        a Redis of your own (redis+cluster://host,host… for a cluster); without it
                   an embedded Valkey
  LLM_BASE_URL     an OpenAI-compatible server, such as http://127.0.0.1:11434/v1; without it
                   answers are quotations
  LLM_MODEL, LLM_API_KEY, LLM_FALLBACK_MODEL
  EMBEDDING_MODEL  wordllama (where it is installed), minilm, none, or a model of the
                   OpenAI-compatible server at EMBEDDING_BASE_URL (EMBEDDING_API_KEY)
  DRAIN_TIME       seconds for answers to finish when the service is to end (30)
  LOG_FORMAT       auto, text or json      LOG_LEVEL  debug, info, warning or error
All others, with their defaults: app/config.py.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status: 0 done, 1 something is broken, 2 wrong use.

    Those of `ask` are in its help.
    """
    options = _parser().parse_args(arguments)
    try:
        settings = Settings.from_environment(os.environ)
    except SettingsError as error:
        return _refuse(error, 2)
    status: int
    if options.command is _ask:
        status = options.command(settings, options)
        return status
    # What only asks, or answers a `--help`, needs none of the rest.
    from app import logs
    from app.cli.library import CommandError

    logs.configure(settings.log_format, settings.log_level)
    try:
        status = options.command(settings, options)
    except CommandError as error:
        return _refuse(error, 1)
    except KeyboardInterrupt:
        return 130
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="chrysopedia-chat",
        description="Ask a creators' library in plain words; read a grounded, cited answer.",
        epilog=ENVIRONMENT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    serve = commands.add_parser("serve", help="answer questions over HTTP")
    serve.add_argument(
        "--library",
        type=Path,
        metavar="FOLDER",
        default=os.environ.get("LIBRARY") or None,
        help="ingest this folder first (LIBRARY); without it an empty embedded database gets "
        "the sample library",
    )
    serve.set_defaults(command=_serve)

    ask = commands.add_parser(
        "ask",
        help="ask a running service, and print the answer as it comes",
        description="Ask a running service. The answer is printed as it comes, then the sources "
        "that it cites. Ctrl-C stops it.",
        epilog=STATUSES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    ask.add_argument("question", nargs="+", metavar="QUESTION", help="- reads standard input")
    ask.add_argument("--creator", metavar="NAME", help="whose material is to answer, if it can")
    ask.add_argument("--conversation", metavar="ID", help="the conversation that this goes on with")
    ask.add_argument("--json", action="store_true", help="print each event as a line of JSON")
    ask.add_argument(
        "--url",
        default=os.environ.get("CHRYSOPEDIA_URL") or None,
        help="the service (CHRYSOPEDIA_URL); without it the one at HOST and PORT",
    )
    ask.set_defaults(command=_ask)

    ingest = commands.add_parser(
        "ingest",
        help="read folders of pages and transcripts into the library",
        description="Read folders of pages and transcripts into the library. What has not "
        "changed is passed over; the exit status is 1 where a file could not be read.",
    )
    ingest.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    ingest.add_argument("--name", help="the library's name; by default that of its folder")
    ingest.add_argument(
        "--prune", action="store_true", help="also remove what is no longer in the folder"
    )
    ingest.set_defaults(command=_ingest)

    reindex = commands.add_parser(
        "reindex",
        help="embed the library with the EMBEDDING_MODEL that is set now",
        description="Embed the library with the EMBEDDING_MODEL that is set now. Services that run "
        "search with the embeddings they know meanwhile, and until they are started again; the "
        "next ingestion drops the old ones. A run that was cut off is taken up again.",
    )
    reindex.set_defaults(command=_reindex)

    calibrate = commands.add_parser(
        "calibrate",
        help="learn anew when the library has nothing on a question",
        description="Learn anew when the library has nothing on a question. Ingestion does so by "
        "itself when a fifth of the passages has changed.",
    )
    calibrate.set_defaults(command=_calibrate)

    evaluate = commands.add_parser(
        "eval",
        help="measure the search on questions whose answers are known",
        description="Measure the search on questions whose answers are known, in a database of its "
        "own. A set is a folder as BEIR has it (corpus.jsonl, queries.jsonl, qrels/*.tsv), or a "
        "library with its own questions (questions.jsonl).",
    )
    evaluate.add_argument("sets", nargs="+", type=Path, metavar="SET")
    evaluate.add_argument("--split", help="which judgements, where there are several: dev, test …")
    evaluate.add_argument(
        "--within", metavar="FIELD", help="search within what has a query's FIELD of its metadata"
    )
    evaluate.add_argument(
        "--questions", type=Path, metavar="FILE", help="the questions of a library that has none"
    )
    evaluate.add_argument(
        "--off-topic",
        type=Path,
        metavar="FILE",
        help="questions that are to be refused; by default those of the other sets",
    )
    evaluate.add_argument("--json", action="store_true", help="print JSON instead of a table")
    evaluate.set_defaults(command=_evaluate)
    return parser


def _serve(settings: Settings, options: argparse.Namespace) -> int:
    import uvloop

    from app.cli.serve import serve

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(settings, options.library))
    return 0


def _ask(settings: Settings, options: argparse.Namespace) -> int:
    from app.cli.ask import ask

    return ask(
        " ".join(options.question),
        options.url or settings.url,
        creator=options.creator,
        conversation=options.conversation,
        lines=options.json,
    )


def _ingest(settings: Settings, options: argparse.Namespace) -> int:
    from app.cli.library import backing_servers, ingest_folder, library, remove_sample_library
    from app.services.ingest.report import summary

    async def ingest() -> int:
        status = 0
        where = "DATABASE_URL" if settings.database_url else settings.data_dir.resolve()
        async with (
            backing_servers(settings, memory=False) as complete,
            library(complete) as into,
        ):
            for folder in options.folders:
                report = await ingest_folder(into, folder, name=options.name, prune=options.prune)
                print(f"{summary(report)}\n  kept in   {where}", flush=True)
                status = 1 if report.broken else status
            if not settings.database_url:
                await remove_sample_library(into)
        return status

    return asyncio.run(ingest())


def _reindex(settings: Settings, options: argparse.Namespace) -> int:
    from app.cli.library import backing_servers, library, reindex

    async def work() -> int:
        async with backing_servers(settings, memory=False) as complete, library(complete) as into:
            name = await reindex(into)
        print(f"The library is embedded by {name}. Start the services again that are to use it.")
        return 0

    return asyncio.run(work())


def _calibrate(settings: Settings, options: argparse.Namespace) -> int:
    from app.cli.library import backing_servers, calibrate, library

    async def work() -> int:
        async with backing_servers(settings, memory=False) as complete, library(complete) as into:
            print(await calibrate(into))
        return 0

    return asyncio.run(work())


def _evaluate(settings: Settings, options: argparse.Namespace) -> int:
    from app.cli.library import backing_servers, evaluate
    from app.services.evaluation.output import as_json, as_table

    async def work() -> int:
        async with backing_servers(settings, memory=False) as complete:
            reports = await evaluate(
                complete,
                options.sets,
                split=options.split,
                within=options.within,
                questions=options.questions,
                off_topic=options.off_topic,
            )
        print(as_json(reports) if options.json else as_table(reports))
        return 0

    return asyncio.run(work())


def _refuse(error: Exception, status: int) -> int:
    print(f"chrysopedia-chat: {error}", file=sys.stderr)
    return status
