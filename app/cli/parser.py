"""Command line: read the settings, and run a subcommand."""

import argparse
import os
import sys
from collections.abc import Sequence

from app import __version__
from app.cli.commands import add_commands, ask_service
from app.config import Settings, SettingsError
from app.config_transport import check_transport

ENVIRONMENT = """\
settings, from the environment:
  HOST, PORT       address to listen on (127.0.0.1, 8000)
  OPS_PORT         another port for /metrics and /readyz; default: PORT
  TRUSTED_PROXIES  addresses of proxies whose X-Forwarded-For is trusted; default: none
  ALLOWED_HOSTS    host names of the service beside HOST and localhost, such as chat.example.org
  AUTH             on: requests need a key (see `keys`), a token or a user named by a proxy; off is
                   the default on a loopback HOST; with any other it must be set
  CHRYSOPEDIA_KEY  key or token that `ask` sends
  CHRYSOPEDIA_URL  service that `ask` connects to (default: the one at HOST and PORT)
  DATA_DIR         folder for the data of the embedded servers (.data)
  DATABASE_URL     your PostgreSQL; default: an embedded one
  REDIS_URL        your Redis (redis+cluster://host,host… for a cluster); default: an embedded
                   Valkey
  PLAINTEXT_HOSTS  hosts of a private network that may be reached without TLS
  LLM_BASE_URL     an OpenAI-compatible server, such as http://127.0.0.1:11434/v1; default: none,
                   answers quote the sources
  LLM_MODEL, LLM_API_KEY, LLM_HEADERS, LLM_EXTRA_BODY, LLM_FALLBACK_MODEL, LLM_FALLBACK_BASE_URL
  EMBEDDING_MODEL  use (the default if installed), bge (better, English only), none, or a model of
                   the OpenAI-compatible server at EMBEDDING_BASE_URL (EMBEDDING_API_KEY)
  DRAIN_TIME       seconds for running answers to finish on shutdown (30)
  LOG_FORMAT       auto, text or json      LOG_LEVEL  debug, info, warning or error
All settings: docs/settings.md.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status: 0 success, 1 failure, 2 wrong usage.

    The exit statuses of `ask` are in its help.
    """
    options = _parser().parse_args(arguments)
    try:
        settings = Settings.from_environment(os.environ)
    except SettingsError as error:
        return _fail(error, 2)
    if options.command == ask_service:
        return ask_service(settings, options)
    # Slow to import, and not needed by `--help` and `ask`.
    from app import logs
    from app.cli.errors import CommandError
    from app.infra.redis import url_problem

    if settings.redis_url and (problem := url_problem(settings.redis_url)):
        return _fail(f"REDIS_URL: {problem}", 2)
    logs.configure(settings.log_format, settings.log_level)
    try:
        check_transport(settings, os.environ)
        return int(options.command(settings, options))
    except SettingsError as error:
        return _fail(error, 2)
    except CommandError as error:
        return _fail(error, 1)
    except KeyboardInterrupt:
        return 130


def _fail(error: object, status: int) -> int:
    print(f"chrysopedia-chat: {error}", file=sys.stderr)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="chrysopedia-chat",
        description="Ask a library of videos and pages; get grounded, cited answers.",
        epilog=ENVIRONMENT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add_commands(commands)
    return parser
