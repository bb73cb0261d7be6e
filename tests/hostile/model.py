"""The soak test's model, which also gives hostile answers to questions that name a kind of them.

`python -m tests.hostile.model 20` works like `python -m tests.soak.model 20`.
"""

import asyncio
import re
import sys
from collections.abc import Iterator
from itertools import chain, cycle, islice, repeat
from typing import Any

import msgspec
import uvloop

from tests.soak.model import PacedModel, chunk, content, end, serve

# Seconds between two pieces, so that the machine has time for the other streams.
PAUSE = 0.01
_KIND = re.compile(r"\(kind (\w+)\)")


def _reasoning(text: str) -> bytes:
    delta = {"index": 0, "delta": {"reasoning_content": text}}
    return b"data: %b\n\n" % msgspec.json.encode({"choices": [delta]})


def pieces(kind: str) -> Iterator[bytes]:
    """Return the events of a hostile answer."""
    match kind:
        case "huge":
            return repeat(content("word " * 1_000), 2_000)
        case "reasoning":
            return repeat(_reasoning("Let me think. " * 20))
        case "brackets":
            return repeat(content("[" * 1_000), 100)
        case "marks":
            return repeat(content("[1][2] *a_ [a](http://evil.example/) " * 20), 200)
        case "pieces":
            return islice(cycle(map(content, "[1")), 10_000)
        case "garbage":
            return chain(repeat(b"data: {\n\n\xff\x00: \r\r\n", 100), [b"data: " + b"[" * 200_000])
    return iter(())


KINDS = ("huge", "reasoning", "brackets", "marks", "pieces", "garbage")


class HostileModel(PacedModel):
    """Answers like the paced model unless the question names a kind."""

    async def answer(
        self, messages: list[Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Stream the answer; return whether the connection stays open."""
        kinds = _KIND.findall(messages[-1]["content"])
        if not kinds:
            return await super().answer(messages, reader, writer)
        for piece in pieces(kinds[-1]):
            if reader.at_eof() or writer.is_closing():
                return False
            writer.write(chunk(piece))
            await writer.drain()
            await asyncio.sleep(PAUSE)
        if writer.is_closing():
            return False
        writer.write(end(1))
        return True


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(HostileModel(float(sys.argv[1]))))
