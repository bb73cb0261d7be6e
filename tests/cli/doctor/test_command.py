"""`python -m app doctor` as a command: its exit status, JSON, and the embedded servers."""

import json
import re
from pathlib import Path

import anyio
import pytest

from app.config import Settings
from tests.cli.processes import run
from tests.keys import make_key
from tests.service import running

pytestmark = pytest.mark.anyio


def test_embedded_servers_are_not_started(tmp_path: Path) -> None:
    done = run("doctor", DATA_DIR=str(tmp_path / "data"), EMBEDDING_MODEL="none")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("embedded; `serve` starts it") == 2
    assert not (tmp_path / "data").exists()


def test_a_failed_check_is_an_exit_status_of_1_and_secrets_are_not_printed() -> None:
    done = run(
        "doctor",
        "--json",
        DATABASE_URL="postgresql://user:secret@127.0.0.1:1/app",
        REDIS_URL="redis://user:secret@127.0.0.1:1/0",
        LLM_BASE_URL="http://user:secret@127.0.0.1:1/v1",
        LLM_MODEL="m",
        LLM_API_KEY="secret",
        LLM_FIRST_TOKEN_TIMEOUT="0.5",
        EMBEDDING_MODEL="m",
        EMBEDDING_BASE_URL="http://user:secret@127.0.0.1:1/v1",
        EMBEDDING_API_KEY="secret",
    )
    assert (done.returncode, done.stderr) == (1, "")
    rows = json.loads(done.stdout)
    failed = [row["check"] for row in rows if row["status"] == "failed"]
    assert failed == ["PostgreSQL", "Redis", "embedder", "language model"]
    assert all(row["advice"] for row in rows if row["status"] == "failed")
    assert "secret" not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "settings"),
    [
        ((), {"PORT": "x"}),
        ((), {"REDIS_URL": "http://x"}),
        (("--url", "ftp://x"), {}),
        (("--question", "Why?"), {}),
        (("--url", "http://127.0.0.1:1"), {"CHRYSOPEDIA_KEY": "ü"}),
    ],
)
def test_wrong_settings_and_options_are_an_exit_status_of_2(
    arguments: tuple[str, ...], settings: dict[str, str]
) -> None:
    done = run("doctor", *arguments, **settings)
    assert (done.returncode, done.stdout) == (2, "")


async def test_a_service_with_access_control_is_asked_with_a_key(
    database_url: str, redis_url: str
) -> None:
    key = await make_key(database_url)
    settings = Settings(database_url=database_url, redis_url=redis_url, auth="on")
    async with running(settings) as client:

        def check(**environment: str) -> str:
            done = run(
                *("doctor", "--url", client.url, "--question", "Hello!"),
                DATABASE_URL=database_url,
                REDIS_URL=redis_url,
                EMBEDDING_MODEL="none",
                **environment,
            )
            assert done.stderr == ""
            return done.stdout

        refused = await anyio.to_thread.run_sync(check)
        assert re.search(r"skipped +question +refused \(401\)", refused)
        assert "CHRYSOPEDIA_KEY" in refused
        answered = await anyio.to_thread.run_sync(lambda: check(CHRYSOPEDIA_KEY=key.text))
        assert "ok       resume " in answered
        assert key.text not in answered


async def test_a_good_service_is_an_exit_status_of_0(library_url: str, redis_url: str) -> None:
    settings = Settings(database_url=library_url, redis_url=redis_url)
    async with running(settings) as client:
        done = await anyio.to_thread.run_sync(
            lambda: run(
                *("doctor", "--url", client.url),
                DATABASE_URL=library_url,
                REDIS_URL=redis_url,
            )
        )
    assert (done.returncode, done.stderr) == (0, "")
    assert "failed" not in done.stdout
    assert "ok       resume " in done.stdout
