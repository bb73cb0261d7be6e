"""The command `doctor`: check a configuration, and say what to do about each finding."""

import asyncio
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import asyncpg
from msgspec.structs import replace

from app.cli.ask.service import Service
from app.cli.doctor.address import check_address
from app.cli.doctor.embedder import check_embedder
from app.cli.doctor.model import check_model
from app.cli.doctor.postgres import LibraryState, check_postgres
from app.cli.doctor.redis_server import check_redis
from app.cli.doctor.report import Report
from app.config import Settings
from app.infra import embedded
from app.infra.database_errors import describe
from app.infra.embedded.postgres import find_programs
from app.infra.embedded.valkey import find_program

log = logging.getLogger(__name__)

# Seconds for each check of a server, and for an embedder to load its model.
LIMIT, EMBEDDER_LIMIT = 5.0, 20.0


def doctor(
    settings: Settings, url: str | None, question: str | None, *, key: str = "", as_json: bool
) -> int:
    """Check the configuration and, with a URL, the public address; returns the exit status.

    The address is asked with a key if there is one. Raises AskFailed if the URL is invalid.
    """
    service = Service(url, key) if url else None
    report = Report(sys.stdout, as_json=as_json)
    asyncio.run(_check_settings(report, settings))
    if service:
        report.heading("Public address")
        with guard(report, "public address"):
            check_address(report, service, question)
    report.close()
    return int(report.failed)


async def _check_settings(report: Report, settings: Settings) -> None:
    report.heading("Database and memory")
    running = embedded.attach(settings.data_dir)
    library: LibraryState | None = None
    database_url = settings.database_url or (running and running.database_url)
    if database_url:
        at = replace(settings, database_url=database_url)
        with guard(report, "PostgreSQL"):
            async with asyncio.timeout(2 * LIMIT):
                library = await check_postgres(report, at, LIMIT)
    else:
        _report_embedded(report, "PostgreSQL", find_programs)
    redis_url = settings.redis_url or (running and running.redis_url)
    if redis_url:
        at = replace(settings, redis_url=redis_url)
        with guard(report, "Redis"):
            async with asyncio.timeout(2 * LIMIT):
                await check_redis(report, at, LIMIT)
    else:
        _report_embedded(report, "Redis", find_program)
    report.heading("Models")
    with guard(report, "embedder"):
        await check_embedder(report, settings, library, EMBEDDER_LIMIT)
    with guard(report, "language model"):
        await check_model(report, settings)


@contextmanager
def guard(report: Report, check: str) -> Iterator[None]:
    """Turn an exception that ends a check into a failed row."""
    try:
        yield
    except TimeoutError:
        report.fail(check, "no answer in time", "Check that the server is not overloaded.")
    except asyncpg.PostgresError as error:
        report.fail(check, describe(error), "Check the permissions of the role.")
    except Exception as error:
        log.debug("check failed", exc_info=True)
        report.fail(
            check,
            f"the check itself failed: {type(error).__name__}",
            "Set LOG_LEVEL=debug for the traceback, and report it.",
        )


def _report_embedded(report: Report, check: str, find: Callable[[], object]) -> None:
    try:
        find()
    except embedded.EmbeddedError as error:
        problem, _, advice = str(error).partition("; ")
        report.fail(check, problem, advice)
    else:
        report.ok(check, "embedded; `serve` starts it")
