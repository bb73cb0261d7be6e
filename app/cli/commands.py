"""The subcommands and their options: one per module of this package.

A command's module is imported when it runs, so that `--help` and `ask` start quickly.
"""

import argparse
import asyncio
import os
import sys
from pathlib import Path

from app.cli.ask.exit_status import STATUSES
from app.cli.eval_options import Subparsers, add_eval
from app.cli.key_options import add_keys
from app.config import Settings


def add_commands(commands: Subparsers) -> None:
    """Add all subcommands; each sets `command`, which takes the settings and the options."""
    _add_serve(commands)
    _add_doctor(commands)
    _add_ask(commands)
    _add_ingest(commands)
    _add_reindex(commands)
    _add_calibrate(commands)
    add_keys(commands)
    add_eval(commands)


def _add_serve(commands: Subparsers) -> None:
    parser = commands.add_parser(
        "serve",
        help="answer questions over HTTP",
        description="Answer questions over HTTP until Ctrl-C (SIGINT) or SIGTERM. Running answers"
        " are finished first, for up to DRAIN_TIME seconds; a second signal stops them.",
    )
    parser.add_argument(
        "--library",
        type=Path,
        metavar="FOLDER",
        default=os.environ.get("LIBRARY") or None,
        help="ingest this folder first (default: LIBRARY); without it, an empty embedded database"
        " gets the sample library",
    )
    parser.set_defaults(command=_serve)


def _serve(settings: Settings, options: argparse.Namespace) -> int:
    import uvloop

    from app.cli.serve import serve

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(settings, options.library))
    return 0


def _add_doctor(commands: Subparsers) -> None:
    parser = commands.add_parser(
        "doctor",
        help="check the configuration, and say what to change",
        description="Check PostgreSQL, Redis, the embedder and the language model as configured,"
        " and with --url the public address. The model is asked one tiny question, the address one"
        " question about the library; nothing is changed. The exit status is 1 if a check failed,"
        " 2 if a setting is wrong.",
    )
    parser.add_argument(
        "--url", help="also check this address of the running service: proxies, TLS, streaming"
    )
    parser.add_argument(
        "--question", help="what to ask there (default: a question about one of its documents)"
    )
    parser.add_argument(
        "--key",
        default=os.environ.get("CHRYSOPEDIA_KEY") or "",
        help="the secret key to ask with (default: CHRYSOPEDIA_KEY, which other users of this"
        " machine cannot see)",
    )
    parser.add_argument(
        "--json", action="store_true", help="print a list of check, status, finding and advice"
    )
    parser.set_defaults(command=_doctor, usage_error=parser.error)


def _doctor(settings: Settings, options: argparse.Namespace) -> int:
    if options.question and not options.url:
        options.usage_error("--question needs --url")
    from app.cli.ask.exit_status import AskFailed, ExitStatus
    from app.cli.doctor import doctor

    key = options.key
    try:
        if not (key.isascii() and key.isprintable()):
            raise AskFailed("--key or CHRYSOPEDIA_KEY: not a key", ExitStatus.USAGE_ERROR)
        return doctor(settings, options.url, options.question, key=key, as_json=options.json)
    except AskFailed as error:
        print(f"chrysopedia-chat: {error}", file=sys.stderr)
        return error.status


def _add_ask(commands: Subparsers) -> None:
    parser = commands.add_parser(
        "ask",
        help="ask a running service and print the answer as it arrives",
        description="Ask a running service. Prints the answer as it arrives, then the sources that"
        " it\ncites. Ctrl-C stops it.",
        epilog=STATUSES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "question", nargs="+", metavar="QUESTION", help="the question; - reads standard input"
    )
    parser.add_argument(
        "--creator", metavar="NAME", help="prefer this creator's material (name or slug)"
    )
    parser.add_argument(
        "--conversation",
        metavar="ID",
        help="continue this conversation: the question may refer to earlier ones",
    )
    parser.add_argument("--json", action="store_true", help="print each event as a line of JSON")
    parser.add_argument(
        "--url",
        default=os.environ.get("CHRYSOPEDIA_URL") or None,
        help="the service (default: CHRYSOPEDIA_URL, else the one at HOST and PORT)",
    )
    parser.add_argument(
        "--key-file",
        type=Path,
        metavar="FILE",
        help="a file with the key or token to send (default: CHRYSOPEDIA_KEY)",
    )
    parser.set_defaults(command=ask_service)


def ask_service(settings: Settings, options: argparse.Namespace) -> int:
    """Run `ask`, which needs neither logging nor a valid REDIS_URL."""
    from app.cli.ask import ask

    return ask(
        " ".join(options.question),
        options.url or settings.url,
        creator=options.creator,
        conversation=options.conversation,
        key_file=options.key_file,
        lines=options.json,
    )


def _add_ingest(commands: Subparsers) -> None:
    parser = commands.add_parser(
        "ingest",
        help="read folders of pages and transcripts into the library",
        description="Read folders of pages and transcripts into the library. Unchanged files are"
        " skipped. The exit status is 1 if a file could not be read.",
    )
    parser.add_argument(
        "folders",
        nargs="+",
        type=Path,
        metavar="FOLDER",
        help="a folder that has a subfolder per creator",
    )
    parser.add_argument("--name", help="the library's name (default: the folder's name)")
    parser.add_argument(
        "--prune", action="store_true", help="also remove documents that the folder no longer has"
    )
    parser.set_defaults(command=_ingest)


def _ingest(settings: Settings, options: argparse.Namespace) -> int:
    from app.cli.ingest import ingest

    return asyncio.run(ingest(settings, options.folders, name=options.name, prune=options.prune))


def _add_reindex(commands: Subparsers) -> None:
    parser = commands.add_parser(
        "reindex",
        help="embed the library with the configured EMBEDDING_MODEL",
        description="Embed the library with the configured EMBEDDING_MODEL. Running services keep"
        " using the previous embeddings until they are restarted; the next ingestion deletes"
        " those. An interrupted run continues where it stopped.",
    )
    parser.set_defaults(command=_reindex)


def _reindex(settings: Settings, options: argparse.Namespace) -> int:
    from app.cli.reindex import reindex

    return asyncio.run(reindex(settings))


def _add_calibrate(commands: Subparsers) -> None:
    parser = commands.add_parser(
        "calibrate",
        help='recalibrate the threshold for "no answer"',
        description='Recalibrate the threshold for "no answer" on the library\'s own passages.'
        " Ingestion does this whenever a fifth of the passages has changed.",
    )
    parser.set_defaults(command=_calibrate)


def _calibrate(settings: Settings, options: argparse.Namespace) -> int:
    from app.cli.calibrate import calibrate

    return asyncio.run(calibrate(settings))
