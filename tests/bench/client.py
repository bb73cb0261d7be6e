"""Load generator: runs many chats, given as JSON on the command line, and prints the result.

With `steps` it tells the model when each token has arrived. With `hold` it prints `open` once all
streams have their first token, and continues on a line of standard input.
"""

import asyncio
import gc
import sys
from collections.abc import Sequence
from time import monotonic, process_time

import msgspec
import uvloop
from msgspec import Struct

from app.services.access.conversation_ids import ConversationIds
from tests.bench.script import question
from tests.bench.viewer import Viewer, ViewerResult

# Seconds after which a token is late.
LATE = 0.05
# Seconds between two reads of a polled viewer, and the groups that are read in turn within it.
POLL_INTERVAL, POLL_GROUPS = 0.2, 20


class Load(Struct, frozen=True):
    """Chats to run: `at_once` of them concurrently, `opening` of these without a token yet.

    The chats are spread over `ports`: the server's, or several workers'. `conversation` is a prefix
    of conversation ids, so that a later load can continue the conversations; `secret` marks them.
    Requests carry the `key`.

    Lateness excludes each chat's first token, the first `skip_start` seconds and the last
    `skip_end`. Only one viewer in `sample` measures it: reading every token as it arrives takes
    more CPU than the servers use. The others are polled, and checked at the end.
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
    skip_start: float = 0.0
    skip_end: float = 0.0
    sample: int = 1
    conversation: str = ""
    secret: bytes = b""
    key: str = ""


class LoadResult(Struct, frozen=True):
    """A load's faults, times in ms at p50, p95 and p99, late share, and the client's CPU cores."""

    chats: int
    tokens: int
    faults: tuple[str, ...]
    seconds: float
    client_cpu: float
    sources_ms: tuple[float, float, float]
    first_token_ms: tuple[float, float, float]
    lateness_ms: tuple[float, float, float]
    late: float


class LoadGenerator:
    """Runs the viewers of one load."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._ids = ConversationIds(load.secret)
        self._loop = asyncio.get_running_loop()
        self._slots = asyncio.Semaphore(load.at_once)
        self._openings = asyncio.Semaphore(load.opening)
        self._received = self._ended = 0
        self._all_ended = asyncio.Event()
        self._all_open = asyncio.Event()
        self._model_control: asyncio.StreamWriter | None = None
        self._polled: list[dict[int, Viewer]] = [{} for _ in range(POLL_GROUPS)]

    async def run(self) -> LoadResult:
        """Run all chats."""
        load = self._load
        if load.steps or load.hold:
            _, self._model_control = await asyncio.open_connection("127.0.0.1", load.model_port)
        if load.sample > 1:
            self._poll(0)
        started, cpu = monotonic(), process_time()
        viewers = [await self._open(number) for number in range(load.chats)]
        if load.hold:
            await self._all_open.wait()
            print("open", flush=True)
            await self._loop.run_in_executor(None, sys.stdin.readline)
            started, cpu = monotonic(), process_time()
            self._step()
        await self._all_ended.wait()
        seconds = monotonic() - started
        cpu = process_time() - cpu
        return _result(load, [viewer.result() for viewer in viewers], seconds, cpu / seconds)

    async def _open(self, number: int) -> Viewer:
        await self._slots.acquire()
        await self._openings.acquire()
        opened, polled = False, bool(number % self._load.sample)
        group = self._polled[number % POLL_GROUPS]

        def on_token() -> None:
            nonlocal opened
            if not opened:
                opened = True
                self._openings.release()
                if polled:
                    group[number] = viewer
            self._count_token()

        def on_end() -> None:
            if not opened:
                self._openings.release()
            self._slots.release()
            group.pop(number, None)
            self._ended += 1
            if self._ended == self._load.chats:
                self._all_ended.set()

        load = self._load
        request = question(number, load.path, load.conversation, self._ids, load.key)
        port = load.ports[number % len(load.ports)]
        viewer = Viewer(request, load.tokens, on_token, on_end, polled=polled)
        await self._loop.create_connection(lambda: viewer, "127.0.0.1", port)
        return viewer

    def _poll(self, turn: int) -> None:
        """Read the next group of polled viewers."""
        for viewer in list(self._polled[turn % POLL_GROUPS].values()):
            viewer.read()
        self._loop.call_later(POLL_INTERVAL / POLL_GROUPS, self._poll, turn + 1)

    def _count_token(self) -> None:
        self._received += 1
        if self._received == self._load.chats:
            self._all_open.set()
        stepping = self._load.steps and not self._load.hold and self._all_open.is_set()
        if stepping and self._received < self._load.chats * self._load.tokens:
            self._step()

    def _step(self) -> None:
        assert self._model_control
        self._model_control.write(b"STEP\n")


def _result(load: Load, viewers: Sequence[ViewerResult], seconds: float, cpu: float) -> LoadResult:
    valid = [one for one in viewers if not one.fault]
    tokens = [token for one in valid for token in one.tokens[min(1, load.tokens - 1) :]]
    first = min((due for due, _ in tokens), default=0.0) + load.skip_start
    last = max((due for due, _ in tokens), default=0.0) - load.skip_end
    lateness = [late for due, late in tokens if first <= due <= last]
    return LoadResult(
        chats=len(viewers),
        tokens=sum(one.count for one in valid),
        faults=tuple(sorted({one.fault for one in viewers if one.fault}))[:5],
        seconds=seconds,
        client_cpu=cpu,
        sources_ms=_percentiles([one.sources for one in valid]),
        first_token_ms=_percentiles([one.first_token for one in valid]),
        lateness_ms=_percentiles(lateness),
        late=sum(late > LATE for late in lateness) / max(1, len(lateness)),
    )


def _percentiles(values: list[float]) -> tuple[float, float, float]:
    if not values:
        return (0.0, 0.0, 0.0)
    values.sort()
    p50, p95, p99 = (values[int(len(values) * part)] * 1_000 for part in (0.5, 0.95, 0.99))
    return (p50, p95, p99)


async def _main() -> None:
    generator = LoadGenerator(msgspec.json.decode(sys.argv[1], type=Load))
    # A garbage collection would delay the measurement.
    gc.freeze()
    gc.disable()
    print(msgspec.json.encode(await generator.run()).decode(), flush=True)


if __name__ == "__main__":
    uvloop.run(_main())
