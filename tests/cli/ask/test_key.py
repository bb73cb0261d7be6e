"""`ask` with a key, which it sends to nobody else."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from app.cli.ask.exit_status import ExitStatus
from app.config import Settings
from tests.cli.ask.program import run_ask
from tests.keys import SITE, make_key
from tests.service import Client, running

pytestmark = pytest.mark.anyio

QUESTION = "How thick must absorber panels be?"
ANSWER = "For first reflections use panels of mineral wool"


@pytest.fixture
async def guarded(model_settings: Settings) -> AsyncIterator[Client]:
    """A running service that quotes, with access control."""
    settings = replace(model_settings, llm_base_url="", llm_model="", auth="on")
    async with running(settings) as client:
        yield client


async def test_the_key_comes_from_the_environment_or_a_file(
    guarded: Client, library_url: str, tmp_path: Path
) -> None:
    key = (await make_key(library_url, "ask")).text
    file = tmp_path / "my key"
    file.write_text(f"{key}\n")
    url = ("--url", guarded.url)
    status, out, err = await run_ask(QUESTION, *url, environment={"CHRYSOPEDIA_KEY": key})
    assert (status, out.startswith(ANSWER)) == (0, True), err
    status, out, err = await run_ask(QUESTION, *url, "--key-file", str(file))
    assert (status, out.startswith(ANSWER)) == (0, True), err
    # The command for a follow-up names the file.
    assert f"--key-file '{file}'" in err
    assert key not in out + err


async def test_a_missing_or_wrong_key_is_one_line(guarded: Client, library_url: str) -> None:
    public = await make_key(library_url, "ask public", kind="publishable", origins=(SITE,))
    for environment, expected in (
        ({}, "Set CHRYSOPEDIA_KEY or --key-file"),
        ({"CHRYSOPEDIA_KEY": f"{public.text}0"}, "chp_publishable_"),
        ({"CHRYSOPEDIA_KEY": "secret-key"}, "chp_secret_"),
        ({"CHRYSOPEDIA_KEY": public.text}, "A publishable key works only in browsers"),
    ):
        status, out, err = await run_ask(QUESTION, "--url", guarded.url, environment=environment)
        assert (status, out) == (ExitStatus.USAGE_ERROR, "")
        assert err.count("\n") == 1
        assert expected in err
        assert "secret-key" not in err


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://chat.example.org", "https://"),
        ("chat.example.org", "https://"),
        ("http://name:password@127.0.0.1:1", "name and password"),
    ],
)
async def test_a_key_is_not_sent_where_others_can_read_it(url: str, expected: str) -> None:
    status, _, err = await run_ask(
        QUESTION, "--url", url, environment={"CHRYSOPEDIA_KEY": "secret-key"}
    )
    assert status == ExitStatus.USAGE_ERROR
    assert expected in err
    assert err.count("\n") == 1
    assert "secret-key" not in err


async def test_a_malformed_key_or_a_missing_file_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "two").write_text("one\ntwo\n")
    for name, expected in (("none", "no such file"), ("empty", "is empty"), ("two", "one key")):
        status, _, err = await run_ask(QUESTION, "--key-file", str(tmp_path / name))
        assert status == ExitStatus.USAGE_ERROR
        assert expected in err
    status, _, err = await run_ask(QUESTION, environment={"CHRYSOPEDIA_KEY": "one two"})
    assert (status, "CHRYSOPEDIA_KEY: must be one key" in err) == (ExitStatus.USAGE_ERROR, True)
