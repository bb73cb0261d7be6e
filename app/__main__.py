"""The command line: `serve` answers questions, `ingest` fills the library."""

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from app import __version__, logs
from app.settings import Settings, SettingsError

ENVIRONMENT = """\
settings, from the environment:
  HOST, PORT       where to listen (127.0.0.1, 8000)
  DATA_DIR         where the embedded servers keep their files (.data)
  DATABASE_URL     a PostgreSQL of your own; without it an embedded one
  REDIS_URL        a Redis of your own; without it an embedded Valkey
  LLM_BASE_URL     an OpenAI-compatible server, such as http://127.0.0.1:11434/v1; without it
                   answers are quotations
  LLM_MODEL, LLM_API_KEY, LLM_FALLBACK_MODEL
  LOG_FORMAT       auto, text or json      LOG_LEVEL  debug, info, warning or error
All others, with their defaults: app/settings.py.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status: 0 done, 1 something is broken, 2 wrong use."""
    options = _parser().parse_args(arguments)
    try:
        settings = Settings.from_environment(os.environ)
    except SettingsError as error:
        return _refuse(error, 2)
    logs.configure(settings.log_format, settings.log_level)
    # What only answers a `--help` needs none of the rest.
    from app.backing import CannotStart

    try:
        status: int = options.command(settings, options)
    except CannotStart as error:
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
    return parser


def _serve(settings: Settings, options: argparse.Namespace) -> int:
    import uvloop

    from app.serve import serve

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(settings, options.library))
    return 0


def _ingest(settings: Settings, options: argparse.Namespace) -> int:
    from app.backing import backing_servers, ingest_folder, library_connection
    from app.services.ingest.progress import summary

    async def ingest() -> int:
        status = 0
        where = "DATABASE_URL" if settings.database_url else settings.data_dir.resolve()
        async with (
            backing_servers(settings, memory=False) as complete,
            library_connection(complete) as connection,
        ):
            for folder in options.folders:
                report = await ingest_folder(
                    connection, folder, name=options.name, prune=options.prune
                )
                print(f"{summary(report)}\n  kept in   {where}", flush=True)
                status = 1 if report.broken else status
        return status

    return asyncio.run(ingest())


def _refuse(error: Exception, status: int) -> int:
    print(f"chrysopedia-chat: {error}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
