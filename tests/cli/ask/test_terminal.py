"""`python -m app ask` on terminals: bold text, encodings, control characters."""

import json
import os
import pty
import subprocess
import sys

import anyio
import pytest

from tests.cli.ask.program import run_ask
from tests.scripted_model import ScriptedModel, say
from tests.service import Client
from tests.survival.reading import QUESTION

pytestmark = pytest.mark.anyio

PANELS = "How thick must absorber panels be?"
# A locale without UTF-8, which Python must not override.
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def on_a_terminal(*arguments: str, **environment: str) -> str:
    """Run it with its standard output on a terminal, and return that output."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "app", "ask", *arguments],
        env={"PATH": os.environ["PATH"], **environment},
        stdout=theirs,
        stderr=subprocess.DEVNULL,
    ) as process:
        os.close(theirs)
        shown = b""
        try:
            while data := os.read(ours, 1 << 16):
                shown += data
        except OSError:
            # On Linux reading fails once the other side is closed.
            pass
        finally:
            os.close(ours)
        assert process.wait() == 0
    return shown.decode()


async def test_sources_are_bold_on_a_terminal_unless_disabled(extractive: Client) -> None:
    async def shown(**environment: str) -> str:
        url = "--url", extractive.url
        return await anyio.to_thread.run_sync(lambda: on_a_terminal(PANELS, *url, **environment))

    assert "\x1b[1mSpeakers and first reflections" in await shown(TERM="xterm")
    assert "\x1b" not in await shown(TERM="xterm", NO_COLOR="1")
    assert "\x1b" not in await shown(TERM="dumb")


async def test_control_characters_of_an_answer_do_not_reach_the_terminal(
    chat: Client, model: ScriptedModel
) -> None:
    model.answers(say("One\x1b]52;c;cm0=\x07 \x9b2J\ttwo\x7f\r\n", "th\u202eree"))
    _, out, _ = await run_ask(QUESTION, "--url", chat.url)
    assert out.startswith("One\ufffd]52;c;cm0=\ufffd \ufffd2J\ttwo\ufffd\nth\ufffdree\n\n")


async def test_a_terminal_without_utf_8_gets_replacement_characters(extractive: Client) -> None:
    arguments = PANELS, "--url", extractive.url
    status, out, _ = await run_ask(*arguments, environment=ASCII)
    assert (status, "Tom?s Okafor" in out) == (0, True)
    status, out, _ = await run_ask(*arguments, "--json", environment=ASCII)
    sources = json.loads(out.splitlines()[0])["data"]
    assert (status, sources[0]["creator"]["name"]) == (0, "Tomás Okafor")


def test_asking_does_not_import_the_service() -> None:
    heavy = {"aiohttp", "asyncpg", "redis", "starlette", "uvicorn", "pythonjsonlogger", "uvloop"}
    script = (
        "import sys; from app.cli.parser import main;"
        "status = main(['ask', 'Why?', '--url', 'http://127.0.0.1:1']);"
        f"print(status, sorted({heavy} & set(sys.modules)))"
    )
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", script],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    )
    assert done.stdout == "4 []\n"
