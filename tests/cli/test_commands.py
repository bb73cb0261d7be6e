"""`python -m app`, as a process: `ingest` and what it says, and the help."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import anyio
import asyncpg
import pytest

from app.services.ingest.store.embeddings import embedding_indexes
from tests.cli.test_serve import client_of, ended, served
from tests.services.evaluation.folders import beir_folder
from tests.services.search.search_library import many_passages

pytestmark = pytest.mark.anyio


def run(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, with these settings and no others."""
    return subprocess.run(  # noqa: S603
        [sys.executable, "-m", "app", *arguments],
        env={"PATH": os.environ["PATH"], **settings},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A folder with a page and a file that is broken."""
    folder = tmp_path / "library"
    (folder / "anna").mkdir(parents=True)
    page = "---\ntitle: Delay\ntopic: Delay\n---\nKeep the feedback of a tape delay below 40 %.\n"
    (folder / "anna" / "delay.md").write_text(page)
    (folder / "anna" / "broken.srt").write_bytes(b"1\x00\x00")
    return folder


def test_a_broken_file_is_named_and_the_rest_goes_in(library: Path, database_url: str) -> None:
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
    # Not a terminal: no bar, and nothing to say where nothing is done.
    assert again.stderr == ""


def test_a_page_beside_the_creators_folders_is_named_and_no_error(
    library: Path, database_url: str
) -> None:
    (library / "anna" / "broken.srt").unlink()
    for name in ("loose.md", "README.md"):
        (library / name).write_text("Words.")
    done = run("ingest", str(library), DATABASE_URL=database_url)
    assert done.returncode == 0
    assert "loose.md" in done.stdout
    assert "README" not in done.stdout


def test_what_cannot_be_ingested_is_said_in_one_line(tmp_path: Path, database_url: str) -> None:
    done = run("ingest", str(tmp_path / "nowhere"), DATABASE_URL=database_url)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "nowhere" in done.stderr


async def test_a_library_is_ingested_into_the_database_of_a_service_that_runs(
    library: Path, tmp_path: Path
) -> None:
    data_dir = str(tmp_path / "state")
    with served(DATA_DIR=data_dir) as process:
        async with client_of(process) as client:
            done = await anyio.to_thread.run_sync(
                lambda: run("ingest", str(library), DATA_DIR=data_dir)
            )
            assert "1 added" in done.stdout
            assert done.stdout.endswith("The sample library has made room for yours.\n")
            (creator,) = (await client.call("GET", "/api/v1/creators"))[1]
            assert creator["slug"] == "anna"
            events = await client.ask("How much feedback for a tape delay?", creator="anna")
            assert events[-1].data["cascade_tier"] == "creator"
        await ended(process, signal.SIGINT)


async def test_a_library_is_embedded_anew_and_its_gate_learned(
    database: asyncpg.Connection, database_url: str
) -> None:
    await many_passages(database, 3)
    embedded = run("reindex", DATABASE_URL=database_url)
    assert (embedded.returncode, embedded.stdout.count("\n")) == (0, 1), embedded.stderr
    assert embedded.stdout.startswith("The library is embedded by wordllama-256. ")
    ((index, complete),) = (await embedding_indexes(database)).values()
    assert (index.name, complete) == ("wordllama-256", True)

    learned = run("calibrate", DATABASE_URL=database_url)
    assert (learned.returncode, learned.stderr) == (0, "")
    assert learned.stdout == (
        "The library is too small to learn from: rules that fit most libraries decide.\n"
    )


def test_a_set_is_measured_as_a_table_or_as_json(database_url: str, tmp_path: Path) -> None:
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


def test_a_folder_that_is_no_set_is_said_in_one_line(database_url: str, tmp_path: Path) -> None:
    done = run("eval", str(tmp_path), DATABASE_URL=database_url)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1, done.stderr
    assert str(tmp_path) in done.stderr


def test_the_help_names_every_command_and_the_main_settings() -> None:
    done = run("--help")
    for word in ("serve", "ask", "ingest", "reindex", "calibrate", "eval"):
        assert re.search(rf"^    {word}\s", done.stdout, re.MULTILINE), word
    for word in ("DATA_DIR", "DATABASE_URL", "REDIS_URL", "LLM_BASE_URL", "EMBEDDING_MODEL"):
        assert word in done.stdout
