"""Run `python -m app ask` as a process."""

import json
import sys
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager

from tests.child_process import Program, program
from tests.service import Event


def start_ask(
    *arguments: str | bytes, environment: Mapping[str, str] | None = None, stdin: bytes = b""
) -> AbstractAsyncContextManager[Program]:
    """Run it with these arguments and settings; `stdin` is its standard input."""
    command = sys.executable, "-m", "app", "ask", *arguments
    return program(*command, environment=environment, stdin=stdin)


async def run_ask(
    *arguments: str | bytes, environment: Mapping[str, str] | None = None, stdin: bytes = b""
) -> tuple[int, str, str]:
    """Run it to its end; returns its exit status, standard output and standard error."""
    async with start_ask(*arguments, environment=environment, stdin=stdin) as running:
        return await running.ended(), running.out, running.err


def events_of(lines: str) -> list[Event]:
    """Decode the output of `--json`."""
    decoded = [json.loads(line) for line in lines.splitlines()]
    assert all(list(line) == ["id", "event", "data"] for line in decoded)
    return [Event(*line.values()) for line in decoded]
