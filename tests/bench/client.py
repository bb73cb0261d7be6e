"""Run a load, given as JSON on the command line, and print what its viewers saw as JSON.

With `steps` it tells the model when its last token has arrived. With `hold` it prints a line when
all viewers have their first token, and waits for a line on standard input. It uses little CPU.
"""

import asyncio
import gc
import sys
from collections.abc import Sequence
from time import monotonic, process_time

import msgspec
import uvloop
from msgspec import Struct

from tests.bench.script import question
from tests.bench.viewer import Seen, Viewer

# A token that arrives later than this, in seconds, is late.
LATE = 0.05
# Seconds between two reads of a lazy viewer, and the number of groups that read in turn.
LAZINESS, PORTIONS = 0.2, 20


class Load(Struct, frozen=True):
    """The number of chats, at most `at_once` of them open and `opening` before their first token.

    Ports and path are those of the server, or of several workers, which get the chats in turn. With
    a `conversation`, the next load can continue the chats.

    Lateness is measured from `after` seconds after the first token
    (except each chat's first) until `before` seconds before the end, in one of `sample` streams.
    The other streams are lazy: they are read a few times a second and checked at the end, since
    reading each token as it arrives takes more CPU than the servers use.
    """

    chats: int
    tokens: int
    at_once: int
    opening: int
    ports: tuple[int, ...] = ()
    path: str = ""
    model_port: int = 0
    steps: bool = False
    hold: bool = False
    after: float = 0.0
    before: float = 0.0
    sample: int = 1
    conversation: str = ""


class Outcome(Struct, frozen=True):
    """The result of a load: faults; ms at p50, p95 and p99; the client's share of a core."""

    chats: int
    tokens: int
    faults: tuple[str, ...]
    seconds: float
    client_cpu: float
    sources_ms: tuple[float, float, float]
    first_token_ms: tuple[float, float, float]
    lateness_ms: tuple[float, float, float]
    late: float


class Crowd:
    """The viewers of one load."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._loop = asyncio.get_running_loop()
        self._slots = asyncio.Semaphore(load.at_once)
        self._openings = asyncio.Semaphore(load.opening)
        self._got = self._ended = 0
        self._all_ended = asyncio.Event()
        self._all_open = asyncio.Event()
        self._steering: asyncio.StreamWriter | None = None
        self._lazy: list[dict[int, Viewer]] = [{} for _ in range(PORTIONS)]

    async def run(self) -> Outcome:
        """Run all chats and return the outcome."""
        load = self._load
        if load.steps or load.hold:
            _, self._steering = await asyncio.open_connection("127.0.0.1", load.model_port)
        if load.sample > 1:
            self._look(0)
        began, cpu = monotonic(), process_time()
        viewers = [await self._open(number) for number in range(load.chats)]
        if load.hold:
            await self._all_open.wait()
            print("open", flush=True)
            await self._loop.run_in_executor(None, sys.stdin.readline)
            began, cpu = monotonic(), process_time()
            self._step()
        await self._all_ended.wait()
        seconds = monotonic() - began
        cpu = process_time() - cpu
        return _outcome(load, [viewer.seen() for viewer in viewers], seconds, cpu / seconds)

    async def _open(self, number: int) -> Viewer:
        await self._slots.acquire()
        await self._openings.acquire()
        opened, lazy = False, bool(number % self._load.sample)
        portion = self._lazy[number % PORTIONS]

        def on_token() -> None:
            nonlocal opened
            if not opened:
                opened = True
                self._openings.release()
                if lazy:
                    portion[number] = viewer
            self._got_token()

        def on_end() -> None:
            if not opened:
                self._openings.release()
            self._slots.release()
            portion.pop(number, None)
            self._ended += 1
            if self._ended == self._load.chats:
                self._all_ended.set()

        load = self._load
        request = question(number, load.path, load.conversation)
        port = load.ports[number % len(load.ports)]
        viewer = Viewer(request, load.tokens, on_token, on_end, lazy=lazy)
        await self._loop.create_connection(lambda: viewer, "127.0.0.1", port)
        return viewer

    def _look(self, turn: int) -> None:
        """Let the next group of lazy viewers read."""
        for viewer in list(self._lazy[turn % PORTIONS].values()):
            viewer.read()
        self._loop.call_later(LAZINESS / PORTIONS, self._look, turn + 1)

    def _got_token(self) -> None:
        self._got += 1
        if self._got == self._load.chats:
            self._all_open.set()
        stepping = self._load.steps and not self._load.hold and self._all_open.is_set()
        if stepping and self._got < self._load.chats * self._load.tokens:
            self._step()

    def _step(self) -> None:
        assert self._steering
        self._steering.write(b"STEP\n")


def _outcome(load: Load, seen: Sequence[Seen], seconds: float, cpu: float) -> Outcome:
    right = [one for one in seen if not one.fault]
    every = [token for one in right for token in one.tokens[min(1, load.tokens - 1) :]]
    first = min((due for due, _ in every), default=0.0) + load.after
    until = max((due for due, _ in every), default=0.0) - load.before
    lateness = [late for due, late in every if first <= due <= until]
    return Outcome(
        chats=len(seen),
        tokens=sum(one.count for one in right),
        faults=tuple(sorted({one.fault for one in seen if one.fault}))[:5],
        seconds=seconds,
        client_cpu=cpu,
        sources_ms=_quantiles([one.sources for one in right]),
        first_token_ms=_quantiles([one.first_token for one in right]),
        lateness_ms=_quantiles(lateness),
        late=sum(late > LATE for late in lateness) / max(1, len(lateness)),
    )


def _quantiles(values: list[float]) -> tuple[float, float, float]:
    if not values:
        return (0.0, 0.0, 0.0)
    values.sort()
    p50, p95, p99 = (values[int(len(values) * part)] * 1_000 for part in (0.5, 0.95, 0.99))
    return (p50, p95, p99)


async def _main() -> None:
    crowd = Crowd(msgspec.json.decode(sys.argv[1], type=Load))
    gc.freeze()
    gc.disable()
    print(msgspec.json.encode(await crowd.run()).decode(), flush=True)


if __name__ == "__main__":
    uvloop.run(_main())
