"""`python -m app ask` where its standard streams are closed, or cannot be written."""

import shlex
import sys

import anyio
import pytest

from tests.cli.ask.asking import events_of
from tests.printing import program
from tests.scripted_model import ScriptedModel, say
from tests.service import Client, answer
from tests.survival.reading import QUESTION, SOON

pytestmark = pytest.mark.anyio

NOWHERE = "http://127.0.0.1:1"


async def by_shell(*arguments: str, streams: str) -> tuple[int, str, str]:
    """Run it with streams that a shell redirects; returns the exit status and what came."""
    command = shlex.join([sys.executable, "-m", "app", "ask", *arguments])
    async with program("sh", "-c", f"exec {command} {streams}") as running:
        return await running.ended(), running.out, running.err


@pytest.mark.parametrize("lines", [[], ["--json"]], ids=["text", "json"])
async def test_an_answer_that_cannot_be_written_is_stopped_and_ends_with_1(
    chat: Client, model: ScriptedModel, lines: list[str]
) -> None:
    model.answers(say("One", anyio.Event(), "never"))
    status, out, err = await by_shell(QUESTION, *lines, "--url", chat.url, streams=">/dev/full")
    assert (status, out) == (1, "")
    assert err == "chrysopedia-chat: The answer cannot be written: no space left on device.\n"
    if not lines:
        with anyio.fail_after(SOON):
            await model.disconnected.wait()


async def test_what_is_beside_an_answer_may_be_lost(chat: Client) -> None:
    for streams in ("2>/dev/full", "2>&-"):
        status, out, _ = await by_shell(QUESTION, "--url", chat.url, streams=streams)
        assert status == 0
        assert out.startswith("Hello world\n\n")
        assert "Follow up" not in out


async def test_only_events_are_on_standard_output(chat: Client) -> None:
    arguments = QUESTION, "--json", "--url", chat.url
    _, out, _ = await by_shell(*arguments, streams="2>&-")
    assert answer(events_of(out)) == "Hello world"
    told = await by_shell(QUESTION, "--json", "--url", NOWHERE, streams="2>&-")
    assert told == (4, "", "")


@pytest.mark.parametrize("lines", [[], ["--json"]], ids=["text", "json"])
async def test_without_standard_output_the_exit_status_still_tells(
    chat: Client, model: ScriptedModel, lines: list[str]
) -> None:
    status, out, err = await by_shell(QUESTION, *lines, "--url", chat.url, streams=">&-")
    assert (status, out, "Traceback" in err) == (0, "", False)
    assert len(model.requests) == 1


async def test_without_standard_input_there_is_no_question(quoting: Client) -> None:
    status, _, err = await by_shell("-", "--url", quoting.url, streams="<&-")
    assert status == 2
    assert "has 0" in err
