"""The embedded servers: they start anywhere, survive every crash, and are nobody else's."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import asyncpg
import pytest
import redis

from app.infra.embedded import EmbeddedError, attach, postgres, servers, valkey
from app.infra.embedded.data_dir_lock import find_owner
from app.infra.embedded.wait import until
from tests.servers import OwnServer

pytestmark = pytest.mark.anyio

PROJECT = Path(__file__).parents[2]
RUN = """
import sys, anyio
from pathlib import Path
from app.infra.embedded import servers

async def main():
    async with servers(Path(sys.argv[1])):
        print("ready", flush=True)
        await anyio.sleep_forever()

anyio.run(main)
"""


@pytest.fixture
def used_data_dir(initialised: Path, data_dir: Path) -> Path:
    shutil.copytree(initialised, data_dir)
    return data_dir


@contextmanager
def another_copy(data_dir: Path) -> Iterator[subprocess.Popen[str]]:
    """Run both servers from a process of its own, which is killed at the end."""
    command = [sys.executable, "-c", RUN, str(data_dir)]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        try:
            yield process
        finally:
            process.kill()


def said(process: subprocess.Popen[str]) -> str:
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
    folder = await ask(server.url, "SHOW data_directory")
    await server.stop()
    return Path(str(folder))


async def test_what_was_written_is_there_after_a_restart(used_data_dir: Path) -> None:
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


async def test_only_the_wanted_server_is_started(data_dir: Path) -> None:
    async with servers(data_dir, database=False) as running:
        assert running.database_url is None
        assert running.redis_url
    assert not (data_dir / "postgres").exists()


@pytest.mark.parametrize("name", ["x" * 150, "a comma, and more", "it's 100 % données 資料"])
async def test_any_name_will_do_for_the_data_folder(data_dir: Path, name: str) -> None:
    with anyio.fail_after(60):
        async with servers(data_dir / name) as running:
            assert running.database_url
            assert running.redis_url
            assert await ask(running.database_url, "SELECT current_database()") == "chrysopedia"
            write(running.redis_url)


@pytest.mark.parametrize(("name", "stays"), [("short", True), ("x" * 150, False)])
async def test_nobody_else_may_reach_the_sockets(data_dir: Path, name: str, stays: bool) -> None:
    async with valkey(data_dir / name) as url:
        sockets = Path(url.removeprefix("unix://")).parent
        assert os.stat(sockets).st_mode & 0o777 == 0o700
        assert os.stat(data_dir / name).st_mode & 0o777 == 0o700
    assert sockets.exists() == stays


async def test_ctrl_c_at_the_terminal_does_not_reach_the_servers(data_dir: Path) -> None:
    async with valkey(data_dir):
        running = find_owner(data_dir, "valkey")
        assert running
        assert running.server
        assert os.getsid(running.server) != os.getsid(0)


async def test_a_second_copy_is_refused_and_told_of_the_first(data_dir: Path) -> None:
    async with valkey(data_dir) as url:
        with pytest.raises(EmbeddedError, match=rf"in use .*\(process {os.getpid()}\); stop"):
            async with servers(data_dir, database=False):
                pass
        write(url)


async def test_another_process_finds_the_servers_while_they_run(used_data_dir: Path) -> None:
    assert attach(used_data_dir) is None
    with another_copy(used_data_dir) as copy:
        assert said(copy) == "ready"
        found = attach(used_data_dir)
        assert found
        assert found.pid == copy.pid
        assert found.database_url
        assert found.redis_url
        assert await ask(found.database_url, "SELECT 1") == 1
        write(found.redis_url)
    assert attach(used_data_dir) is None


@pytest.mark.parametrize("all_of_them", [False, True])
async def test_after_a_kill_the_next_start_works_and_nothing_is_lost(
    used_data_dir: Path, all_of_them: bool
) -> None:
    with anyio.fail_after(60):
        with another_copy(used_data_dir) as copy:
            assert said(copy) == "ready"
            found = attach(used_data_dir)
            assert found
            assert found.database_url
            assert found.redis_url
            await ask(found.database_url, "CREATE TABLE kept ()")
            write(found.redis_url)
            for name in ("postgres", "valkey") if all_of_them else ():
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
        assert said(copy) == "ready"
        found = find_owner(used_data_dir, "valkey")
        assert found
        assert found.server
    server = found.server
    assert await until(lambda: not Path(f"/proc/{server}/exe").exists(), seconds=10)


async def test_a_first_start_that_was_killed_is_done_again(data_dir: Path) -> None:
    unfinished = data_dir / "postgres" / "data.unfinished" / "base"
    with another_copy(data_dir):
        assert await until(unfinished.exists, seconds=10)
    assert not (data_dir / "postgres" / "data").exists()
    with anyio.fail_after(60):
        async with postgres(data_dir) as url:
            assert await ask(url, "SELECT current_database()") == "chrysopedia"


async def test_a_pid_file_that_names_another_process_is_no_obstacle(
    own_postgres: OwnServer,
) -> None:
    folder = await stopped(own_postgres)
    (folder / "postmaster.pid").write_text(f"{os.getppid()}\n{folder}\n")
    await own_postgres.start()
    assert await ask(own_postgres.url, "SELECT 1") == 1


async def test_a_server_that_does_not_start_says_why(own_postgres: OwnServer) -> None:
    settings = await stopped(own_postgres) / "postgresql.conf"
    settings.write_text(settings.read_text() + "no_such_setting = 1\n")
    with pytest.raises(EmbeddedError, match=r"did not start: .+ \(its log: .+/log\)") as refusal:
        await own_postgres.start()
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("below", ["", "deeper"])
async def test_a_file_in_the_way_is_named(below: str) -> None:
    data_dir = Path(__file__, below)
    with pytest.raises(EmbeddedError, match="is a file; set DATA_DIR") as refusal:
        async with servers(data_dir):
            pass
    assert "\n" not in str(refusal.value)
    assert str(data_dir) in str(refusal.value)


async def test_a_start_that_is_given_up_leaves_no_server(data_dir: Path) -> None:
    with anyio.move_on_after(0.1):
        async with servers(data_dir):
            await anyio.sleep_forever()
    assert attach(data_dir) is None
    with anyio.fail_after(60):
        async with servers(data_dir):
            assert attach(data_dir)


async def test_a_server_is_stopped_and_back_under_the_same_url(own_valkey: OwnServer) -> None:
    url = own_valkey.url
    write(url)
    await own_valkey.stop()
    with pytest.raises(redis.ConnectionError):
        was_written(url)
    await own_valkey.start()
    assert own_valkey.url == url
    assert was_written(url)
