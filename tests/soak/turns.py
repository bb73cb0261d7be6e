"""Checks of the events that viewers received: lost, repeated, different or unexpected ones."""

from collections import Counter
from itertools import takewhile

import msgspec

from tests.soak import script
from tests.soak.workers import WorkerProcess

FAULTS = (
    "events lost",
    "events repeated",
    "turns without a last event",
    "events that differ between viewers",
    "events after the last one",
    "answers that differ from the model's",
    "unexpected endings",
    "unexpected replies",
    "worker faults",
)
LOST = "turn-lost"
_MAX_EXAMPLES = 20


class Tally:
    """Counts of events, endings and faults, with examples of the first faults."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.endings: Counter[str] = Counter()
        self.examples: list[str] = []
        self.stop_seconds: list[float] = []

    def fault(self, kind: str, detail: str, times: int = 1) -> None:
        """Count a fault; `kind` is one of `FAULTS`."""
        assert kind in FAULTS, kind
        self.counts[kind] += times
        if len(self.examples) < _MAX_EXAMPLES:
            self.examples.append(f"{kind}: {detail}")


class Turn:
    """A turn as its viewers know it; `worker` runs it, if known."""

    def __init__(
        self, turn_id: str, number: int, worker: WorkerProcess | None, started: float
    ) -> None:
        self.turn_id, self.number, self.worker = turn_id, number, worker
        # Each event as its first viewer received it.
        self.frames: dict[int, bytes] = {}
        self.endings: set[str] = set()
        self.stopped_at: float | None = None
        self.ended_at: float | None = None
        self.viewers = 0
        # The longest time without viewers, in seconds, and the number of events before it.
        self.longest_gap = (0.0, 0)
        self._gap_start = started

    def viewer_connected(self, now: float) -> None:
        """Count a viewer, and end a gap."""
        if self.viewers == 0:
            self.longest_gap = max(self.longest_gap, (now - self._gap_start, len(self.frames)))
        self.viewers += 1

    def viewer_disconnected(self, now: float) -> None:
        """Discount a viewer."""
        self.viewers -= 1
        self._gap_start = now

    @property
    def ending(self) -> str | None:
        """The finish_reason or the type of the error; `LOST` if any viewer received that."""
        return LOST if LOST in self.endings else next(iter(self.endings), None)

    @property
    def text(self) -> str:
        """The answer up to the first event that no viewer received."""
        numbers = takewhile(self.frames.__contains__, range(len(self.frames)))
        parts = [_split(self.frames[number]) for number in numbers]
        return "".join(msgspec.json.decode(data) for _, name, data in parts if name == b"token")


class ReceivedEvents:
    """The events that one viewer has received of a turn, over all its connections."""

    def __init__(self, turn: Turn, tally: Tally, after: int = -1) -> None:
        self.turn = turn
        self.next_number = after + 1
        # The Last-Event-ID for resuming.
        self.cursor = f"{turn.turn_id}-{after}" if after >= 0 else None
        self.ended = False
        self._tally = tally

    def add(self, frame: bytes) -> None:
        """Check the next event."""
        event_id, name, data = _split(frame)
        turn_id, _, digits = event_id.decode().rpartition("-")
        number, label = int(digits), f"{self.turn.turn_id}, event {digits}"
        self._tally.counts["events"] += 1
        if turn_id != self.turn.turn_id:
            self._tally.fault("unexpected replies", f"{label} belongs to {turn_id}")
        if self.ended:
            self._tally.fault("events after the last one", label)
        if name in (b"done", b"error"):
            self.ended = True
            self.turn.endings.add(_ending(name, data))
        self.cursor = event_id.decode()
        if number > self.next_number:
            detail = f"{label}, expected {self.next_number}"
            self._tally.fault("events lost", detail, number - self.next_number)
        elif number < self.next_number:
            self._tally.fault("events repeated", f"{label}, expected {self.next_number}")
        self.next_number = max(self.next_number, number + 1)
        if self.ended and LOST in self.turn.endings:
            # Each worker writes this event after its viewer's last one, so its number varies.
            return
        if self.turn.frames.setdefault(number, frame) != frame:
            self._tally.fault("events that differ between viewers", label)


def check_turn(turn: Turn, tally: Tally, *, grace: float, rate: float) -> None:
    """Check the ending and the text of a turn without viewers against the script.

    `grace` is in seconds, `rate` in tokens a second.
    """
    tally.counts["turns"] += 1
    ending = turn.ending
    tally.endings[ending or "none"] += 1
    if ending is None:
        tally.fault("turns without a last event", turn.turn_id)
        return
    if ending == "stopped" and turn.stopped_at and turn.ended_at:
        tally.stop_seconds.append(turn.ended_at - turn.stopped_at)
    expected, text = "".join(script.answer(turn.number)), turn.text
    if not expected.startswith(text) or (ending == "stop" and expected != text):
        tally.fault("answers that differ from the model's", f"{turn.turn_id}: {text[-40:]!r}")
    if reason := _unexpected(turn, ending, grace, rate):
        tally.fault("unexpected endings", f"{turn.turn_id}: {ending}: {reason}")


def _unexpected(turn: Turn, ending: str, grace: float, rate: float) -> str:
    """Return why this ending is wrong, or "" if it is right."""
    gap, events = turn.longest_gap
    state = turn.worker.state if turn.worker else "unknown"
    if len(turn.endings) > 1 and not (LOST in turn.endings and state != "running"):
        return f"viewers received {', '.join(sorted(turn.endings))}"
    match ending:
        case "stop":
            remaining = (script.length(turn.number) - events) / rate
            # A viewer of another worker counts for a grace time after its disconnect.
            limit = 2 * grace + 3
            return f"no viewer for {gap:.1f} s" if min(gap, remaining) > limit else ""
        case "stopped":
            return "" if turn.stopped_at else "no client stopped it"
        case "abandoned":
            # A viewer of another worker was last recorded up to a second before its disconnect.
            return "" if gap > grace - 1 else f"no viewer for only {gap:.1f} s"
        case "shutting-down":
            return "" if state in ("drained", "unknown") else f"its worker was {state}"
        case "turn-lost":
            return "" if state in ("killed", "unknown") else f"its worker was {state}"
    return "unknown ending"


def _split(frame: bytes) -> tuple[bytes, bytes, bytes]:
    """Return id, event and data of a frame, which must have one line each, in that order."""
    (_, event_id), (_, name), (_, data) = (line.split(b": ", 1) for line in frame.split(b"\n"))
    return event_id, name, data


def _ending(name: bytes, data: bytes) -> str:
    body = msgspec.json.decode(data)
    return str(body["finish_reason"] if name == b"done" else body["type"].rpartition(":")[2])
