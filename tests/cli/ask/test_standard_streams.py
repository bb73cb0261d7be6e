"""`python -m app ask` with standard streams that are closed or cannot be written."""

import shlex
import sys

import anyio
import pytest

from tests.child_process import program
from tests.cli.ask.program import events_of
from tests.scripted_model import ScriptedModel, say
from tests.service import Client, answer
from tests.survival.reading import QUESTION, SOON

pytestmark = pytest.mark.anyio

NOWHERE = "http://127.0.0.1:1"


async def ask_in_shell(*arguments: str, streams: str) -> tuple[int, str, str]:
    """Run it with redirected streams; returns the exit status, output and errors."""
    command = shlex.join([sys.executable, "-m", "app", "ask", *arguments])
    async with program("sh", "-c", f"exec {command} {streams}") as running:
        return await running.ended(), running.out, running.err


@pytest.mark.parametrize("lines", [[], ["--json"]], ids=["text", "json"])
async def test_an_answer_that_cannot_be_written_is_stopped_and_exits_with_1(
    chat: Client, model: ScriptedModel, lines: list[str]
) -> None:
    model.answers(say("One", anyio.Event(), "never"))
    status, out, err = await ask_in_shell(QUESTION, *lines, "--url", chat.url, streams=">/dev/full")
    assert (status, out) == (1, "")
    assert err == "chrysopedia-chat: The answer cannot be written: no space left on device.\n"
    if not lines:
        with anyio.fail_after(SOON):
            await model.disconnected.wait()


async def test_an_answer_is_printed_even_if_its_notes_cannot_be(chat: Client) -> None:
    for streams in ("2>/dev/full", "2>&-"):
        status, out, _ = await ask_in_shell(QUESTION, "--url", chat.url, streams=streams)
        assert status == 0
        assert out.startswith("Hello world\n\n")
        assert "Follow up" not in out


async def test_messages_have_lines_of_their_own_where_the_answer_is(
    chat: Client, model: ScriptedModel
) -> None:
    model.answers(say("One", b"data: {nonsense\n\n"))
    status, out, _ = await ask_in_shell(QUESTION, "--url", chat.url, streams="2>&1")
    assert (status, out.splitlines()[0]) == (1, "One")
    assert out.splitlines()[1].startswith("chrysopedia-chat: ")


async def test_standard_output_has_only_events(chat: Client) -> None:
    arguments = QUESTION, "--json", "--url", chat.url
    _, out, _ = await ask_in_shell(*arguments, streams="2>&-")
    assert answer(events_of(out)) == "Hello world"
    result = await ask_in_shell(QUESTION, "--json", "--url", NOWHERE, streams="2>&-")
    assert result == (4, "", "")


@pytest.mark.parametrize("lines", [[], ["--json"]], ids=["text", "json"])
async def test_without_standard_output_the_exit_status_is_still_right(
    chat: Client, model: ScriptedModel, lines: list[str]
) -> None:
    status, out, err = await ask_in_shell(QUESTION, *lines, "--url", chat.url, streams=">&-")
    assert (status, out, "Traceback" in err) == (0, "", False)
    assert len(model.requests) == 1


async def test_without_standard_input_the_question_is_empty(extractive: Client) -> None:
    status, _, err = await ask_in_shell("-", "--url", extractive.url, streams="<&-")
    assert status == 2
    assert "has 0" in err
