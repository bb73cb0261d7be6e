"""Fixtures for all tests: event loop, databases, Redis, servers to stop and start, a model."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
from anyio.from_thread import start_blocking_portal
from hypothesis import settings as hypothesis_settings

from app.config import Settings
from app.infra.embedded import postgres, valkey
from tests.certificate import make_certificate
from tests.programs import find
from tests.scripted_model import ScriptedModel
from tests.servers import (
    OwnServer,
    SharedServers,
    ingest_sample,
    own_server,
    shared_servers,
    superuser_url,
)
from tests.service import unlimited

TESTS = Path(__file__).parent
SLOW_FOLDERS = ("fuzz", "survival")

# Starting a process while OpenBLAS's threads work can deadlock. numpy reads this when imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
hypothesis_settings.register_profile("tests", deadline=None, derandomize="CI" in os.environ)
hypothesis_settings.load_profile("tests")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark slow tests, and skip those that need a program which is not installed."""
    for item in items:
        needed = {name for mark in item.iter_markers("needs") for name in mark.args}
        if needed or item.path.relative_to(TESTS).parts[0] in SLOW_FOLDERS:
            item.add_marker(pytest.mark.slow)
        if missing := sorted(name for name in needed if find(name) is None):
            item.add_marker(pytest.mark.skip(f"not installed: {', '.join(missing)}"))


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """Run async tests on uvloop, as `serve` does."""
    return "asyncio", {"use_uvloop": True}


@pytest.fixture(scope="session")
def shared() -> Iterator[SharedServers]:
    """PostgreSQL and Valkey of this test process; started by the first test that needs one."""
    with shared_servers() as running:
        yield running


@pytest.fixture
def database_url(shared: SharedServers) -> Iterator[str]:
    """The DSN of an empty database with the schema applied."""
    url = shared.create_database()
    yield url
    shared.drop_database(url)


@pytest.fixture
def bare_database_url(shared: SharedServers) -> Iterator[str]:
    """The DSN of an empty database without the schema, with the superuser's name."""
    url = shared.create_database(template="template0")
    yield superuser_url(url)
    shared.drop_database(url)


@pytest.fixture
async def database(anyio_backend: object, database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection to `database_url`."""
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


@pytest.fixture
async def superuser(anyio_backend: object, database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A superuser's connection to `database_url`, for what the service may not do."""
    connection = await asyncpg.connect(superuser_url(database_url))
    yield connection
    await connection.close()


@pytest.fixture
def redis_url(shared: SharedServers) -> str:
    """The URL of an empty Redis-compatible server."""
    shared.flush_redis()
    return shared.redis_url


@pytest.fixture(scope="session")
def initialised() -> Iterator[Path]:
    """An initialised data folder to copy, since PostgreSQL's first start is slow."""
    with tempfile.TemporaryDirectory(prefix="chrysopedia-") as folder:
        with (
            start_blocking_portal() as portal,
            portal.wrap_async_context_manager(postgres(Path(folder))),
        ):
            pass
        yield Path(folder)


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A data folder that does not exist yet, with a path short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="chrysopedia-") as folder:
        yield Path(folder, "data")
        for lock in Path(folder).rglob("server.lock"):
            # Servers whose owner was killed stop by themselves: wait until they have.
            with lock.open() as file:
                fcntl.flock(file, fcntl.LOCK_EX)


@pytest.fixture
async def own_postgres(
    anyio_backend: object, data_dir: Path, initialised: Path
) -> AsyncIterator[OwnServer]:
    """A PostgreSQL that the test may stop and start; its database has no schema yet."""
    shutil.copytree(initialised, data_dir, dirs_exist_ok=True)
    async with own_server(postgres, data_dir) as server:
        yield server


@pytest.fixture
async def own_valkey(anyio_backend: object, data_dir: Path) -> AsyncIterator[OwnServer]:
    """A Redis-compatible server that the test may stop and start."""
    async with own_server(valkey, data_dir) as server:
        yield server


@pytest.fixture(scope="session")
async def library_url(anyio_backend: object, shared: SharedServers) -> str:
    """The DSN of a database with the sample library; tests only read it."""
    url = shared.create_database()
    await ingest_sample(url)
    return url


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a key, its certificate for a few host names, and the CA that issued it."""
    names = ("localhost", "model.test", "proxy.localhost")
    return make_certificate(tmp_path_factory.mktemp("tls"), names)


@pytest.fixture
async def model() -> AsyncIterator[ScriptedModel]:
    """A model server that answers "Hello world" unless the test scripts it."""
    async with ScriptedModel() as model:
        yield model


@pytest.fixture
def model_settings(library_url: str, redis_url: str, model: ScriptedModel) -> Settings:
    """Settings of a service with the sample library, the scripted model and an empty Redis."""
    settings = Settings(
        database_url=library_url,
        redis_url=redis_url,
        llm_base_url=model.base_url,
        llm_model="first",
    )
    return unlimited(settings)
