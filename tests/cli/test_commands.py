"""The other commands of `python -m app`: what they print, their exit statuses, and the help."""

import json
import re
import subprocess
import sys
from pathlib import Path

import anyio
import asyncpg
import pytest

from app.services.ingest.store.embeddings import embedding_indexes
from tests.cli.processes import end, run, serving
from tests.services.evaluation.folders import beir_folder
from tests.services.search.search_library import many_passages

pytestmark = pytest.mark.anyio


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A folder with a page and a broken file."""
    folder = tmp_path / "library"
    (folder / "anna").mkdir(parents=True)
    page = "---\ntitle: Delay\ntopic: Delay\n---\nKeep the feedback of a tape delay below 40 %.\n"
    (folder / "anna" / "delay.md").write_text(page)
    (folder / "anna" / "broken.srt").write_bytes(b"1\x00\x00")
    return folder


def test_a_broken_file_is_reported_and_the_others_are_ingested(
    library: Path, database_url: str
) -> None:
    done = run("ingest", str(library), DATABASE_URL=database_url)
    assert done.returncode == 1
    assert "library: 1 added, 1 broken" in done.stdout
    assert "broken: anna/broken.srt: " in done.stdout
    for count in ("creators   1", "pages      1", "words     10"):
        assert count in done.stdout
    (library / "anna" / "broken.srt").unlink()
    again = run("ingest", str(library), DATABASE_URL=database_url)
    assert again.returncode == 0
    assert "library: 1 unchanged" in again.stdout
    # Not a terminal, and nothing was done: no progress.
    assert again.stderr == ""


def test_symbolic_links_are_followed_only_on_request(library: Path, database_url: str) -> None:
    (library / "anna" / "broken.srt").unlink()
    secret = library.parent / "secret.md"
    secret.write_text("Words.")
    (library / "anna" / "link.md").symlink_to(secret)

    done = run("ingest", str(library), DATABASE_URL=database_url)
    followed = run("ingest", str(library), "--follow-links", DATABASE_URL=database_url)

    assert (done.returncode, followed.returncode) == (0, 0)
    assert "skipped 1 symbolic link; --follow-links reads links: anna/link.md" in done.stdout
    assert "1 added, 1 unchanged" in followed.stdout


def test_a_page_outside_the_creators_folders_is_reported_but_not_an_error(
    library: Path, database_url: str
) -> None:
    (library / "anna" / "broken.srt").unlink()
    for name in ("loose.md", "README.md"):
        (library / name).write_text("Words.")
    done = run("ingest", str(library), DATABASE_URL=database_url)
    assert done.returncode == 0
    assert "loose.md" in done.stdout
    assert "README" not in done.stdout


def test_a_missing_folder_is_reported_in_one_line(tmp_path: Path, database_url: str) -> None:
    done = run("ingest", str(tmp_path / "nowhere"), DATABASE_URL=database_url)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "nowhere" in done.stderr


async def test_ingest_uses_the_database_of_a_running_service(
    library: Path, sample_data_dir: Path
) -> None:
    async with serving(DATA_DIR=str(sample_data_dir)) as service:
        done = await anyio.to_thread.run_sync(
            lambda: run("ingest", str(library), DATA_DIR=str(sample_data_dir))
        )
        assert "1 added" in done.stdout
        assert "sample library" in done.stdout.splitlines()[-1]
        (creator,) = (await service.client.call("GET", "/api/v1/creators"))[1]
        assert creator["slug"] == "anna"
        events = await service.client.ask("How much feedback for a tape delay?", creator="anna")
        assert events[-1].data["cascade_tier"] == "creator"
        await end(service)


async def test_reindex_embeds_a_library_and_calibrate_calibrates_it(
    database: asyncpg.Connection, database_url: str
) -> None:
    await many_passages(database, 3)
    embedded = run("reindex", DATABASE_URL=database_url)
    assert (embedded.returncode, embedded.stdout.count("\n")) == (0, 1), embedded.stderr
    assert "use-multilingual-v3" in embedded.stdout
    ((index, complete),) = (await embedding_indexes(database)).values()
    assert (index.name, complete) == ("use-multilingual-v3", True)

    calibrated = run("calibrate", DATABASE_URL=database_url)
    assert (calibrated.returncode, calibrated.stderr) == (0, "")
    assert "too small" in calibrated.stdout


def test_eval_prints_a_table_or_json(database_url: str, tmp_path: Path) -> None:
    mixing = beir_folder(tmp_path / "mixing")
    settings = {"DATABASE_URL": database_url, "EMBEDDING_MODEL": "none"}
    table = run("eval", str(mixing), **settings)
    assert table.returncode == 0, table.stderr
    assert "nDCG@10" in table.stdout
    assert "mixing" in table.stdout

    done = run("eval", str(mixing), "--json", **settings)
    assert done.returncode == 0, done.stderr
    (measured,) = json.loads(done.stdout)
    assert (measured["name"], measured["questions"], measured["ndcg_at_10"]) == ("mixing", 2, 1.0)


def test_eval_refuses_a_folder_that_is_not_a_set_in_one_line(
    database_url: str, tmp_path: Path
) -> None:
    done = run("eval", str(tmp_path), DATABASE_URL=database_url)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1, done.stderr
    assert str(tmp_path) in done.stderr


def test_eval_measures_the_ingested_library_without_a_set(library_url: str, tmp_path: Path) -> None:
    questions, negatives = tmp_path / "questions.jsonl", tmp_path / "negatives.txt"
    document = {"document": "tomas-okafor/true-peak-and-dither.md", "contains": "very quiet noise"}
    question = {"id": "1", "query": "What is dither?", "answers": [document]}
    questions.write_text(json.dumps(question), encoding="utf-8")
    negatives.write_text("Who won the cup of 1974?", encoding="utf-8")
    files = ("--questions", str(questions), "--negatives", str(negatives))
    done = run("eval", *files, "--json", DATABASE_URL=library_url, EMBEDDING_MODEL="none")
    assert done.returncode == 0, done.stderr
    (measured,) = json.loads(done.stdout)
    (outcome,) = measured["outcomes"]
    assert (outcome["id"], outcome["moment_rank"]) == ("1", 1)
    assert measured["negatives"][0]["questions"] == 1


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((), "give a SET, or --questions"),
        (("--questions", "a.jsonl", "--within", "talk"), "--split and --within are for a SET"),
    ],
)
def test_wrong_usage_of_eval_is_explained(arguments: tuple[str, ...], error: str) -> None:
    done = run("eval", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert error in done.stderr


def test_eval_without_a_database_says_so_in_one_line(tmp_path: Path) -> None:
    questions = tmp_path / "questions.jsonl"
    questions.write_text('{"id": "1", "query": "?", "answers": [{"document": "a"}]}')
    nowhere = "postgresql://nobody@127.0.0.1:1/none"
    done = run("eval", "--questions", str(questions), DATABASE_URL=nowhere)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1, done.stderr
    assert "DATABASE_URL" in done.stderr


def test_the_help_lists_every_command_and_the_main_settings() -> None:
    done = run("--help")
    for word in ("serve", "doctor", "ask", "ingest", "reindex", "calibrate", "eval"):
        assert re.search(rf"^    {word}\s", done.stdout, re.MULTILINE), word
    for word in ("DATA_DIR", "DATABASE_URL", "REDIS_URL", "LLM_BASE_URL", "EMBEDDING_MODEL"):
        assert word in done.stdout


@pytest.mark.parametrize(
    "command", ["serve", "doctor", "ask", "ingest", "reindex", "calibrate", "eval"]
)
def test_help_imports_no_command(command: str) -> None:
    script = """
import sys
from app.cli.parser import main
try:
    main([sys.argv[1], "--help"])
finally:
    assert not {"app.cli." + sys.argv[1], "asyncpg", "redis", "starlette"} & set(sys.modules)
"""
    if command == "ask":
        script = script.replace('"app.cli." + sys.argv[1], ', "")
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", script, command], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert f"chrysopedia-chat {command}" in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [("serve",), ("ingest", "."), ("reindex",), ("calibrate",), ("doctor",), ("eval",)],
    ids=lambda arguments: arguments[0],
)
def test_a_command_that_connects_refuses_an_unprotected_connection(
    arguments: tuple[str, ...],
) -> None:
    done = run(*arguments, DATABASE_URL="postgresql://me:secret@db.invalid/chat")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1, done.stderr
    assert "DATABASE_URL" in done.stderr
    assert "sslmode=verify-full" in done.stderr


def test_a_weaker_sslmode_is_reported_in_one_line_at_the_start(tmp_path: Path) -> None:
    # Not a loopback address, but this machine all the same.
    url = "postgresql://me:secret@0.0.0.0:1/chat?sslmode=require"
    done = run("ingest", str(tmp_path), DATABASE_URL=url)
    assert done.returncode == 1
    assert done.stderr.count("sslmode=require") == 1
    assert "secret" not in done.stderr
