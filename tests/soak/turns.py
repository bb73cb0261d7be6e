"""Check the frames that viewers received: none lost, doubled or otherwise wrong. Pure."""

from collections import Counter
from itertools import takewhile

import msgspec

from tests.soak import script
from tests.soak.workers import Life

FAULTS = (
    "events lost",
    "events doubled",
    "turns without a last event",
    "events that differ between viewers",
    "events after the last one",
    "answers that are not what the model said",
    "unexpected endings",
    "unexpected replies",
    "faults of workers",
)
LOST = "turn-lost"
_EXAMPLES = 20


class Tally:
    """Counts what happened, and keeps the first examples of faults."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.endings: Counter[str] = Counter()
        self.examples: list[str] = []
        self.stop_seconds: list[float] = []

    def fault(self, kind: str, detail: str, times: int = 1) -> None:
        """Count a fault; `kind` is one of `FAULTS`."""
        assert kind in FAULTS, kind
        self.counts[kind] += times
        if len(self.examples) < _EXAMPLES:
            self.examples.append(f"{kind}: {detail}")


class Turn:
    """A turn as its viewers see it; `life` is the worker that runs it, None if unknown."""

    def __init__(self, turn_id: str, number: int, life: Life | None, began: float) -> None:
        self.turn_id, self.number, self.life, self.began = turn_id, number, life, began
        # The first viewer's bytes of each event, to compare with the others'.
        self.frames: dict[int, bytes] = {}
        self.endings: set[str] = set()
        self.stopped_at: float | None = None
        self.ended_at: float | None = None
        self.viewers = 0
        # The longest time without viewers, in seconds, and the number of events before it.
        self.alone = (0.0, 0)
        self._left = began

    def arrive(self, now: float) -> None:
        """A viewer has connected."""
        if self.viewers == 0:
            self.alone = max(self.alone, (now - self._left, len(self.frames)))
        self.viewers += 1

    def leave(self, now: float) -> None:
        """A viewer has disconnected."""
        self.viewers -= 1
        self._left = now

    @property
    def ending(self) -> str | None:
        """How it ended: a finish_reason or a problem type; `turn-lost` takes precedence."""
        return LOST if LOST in self.endings else next(iter(self.endings), None)

    @property
    def text(self) -> str:
        """The answer, up to the first missing event."""
        places = takewhile(self.frames.__contains__, range(len(self.frames)))
        parts = [_split(self.frames[place]) for place in places]
        return "".join(msgspec.json.decode(data) for _, name, data in parts if name == b"token")


class Seen:
    """What one viewer has received of a turn, over all its connections."""

    def __init__(self, turn: Turn, tally: Tally, after: int = -1) -> None:
        self.turn = turn
        self.following = after + 1
        # The Last-Event-ID to resume with.
        self.cursor = f"{turn.turn_id}-{after}" if after >= 0 else None
        self.ended = False
        self._tally = tally

    def take(self, frame: bytes) -> None:
        """Check the next event."""
        place, name, data = _split(frame)
        turn_id, _, digits = place.decode().rpartition("-")
        number, where = int(digits), f"{self.turn.turn_id}, event {digits}"
        self._tally.counts["events"] += 1
        if turn_id != self.turn.turn_id:
            self._tally.fault("unexpected replies", f"{where} is of {turn_id}")
        if self.ended:
            self._tally.fault("events after the last one", where)
        if name in (b"done", b"error"):
            self.ended = True
            self.turn.endings.add(_ending(name, data))
        self.cursor = place.decode()
        if number > self.following:
            detail = f"{where} where {self.following} was due"
            self._tally.fault("events lost", detail, number - self.following)
        elif number < self.following:
            self._tally.fault("events doubled", f"{where} where {self.following} was due")
        self.following = max(self.following, number + 1)
        if self.ended and LOST in self.turn.endings:
            # The worker that notices the loss creates it, after the last event that the viewer has.
            return
        if self.turn.frames.setdefault(number, frame) != frame:
            self._tally.fault("events that differ between viewers", where)


def judge(turn: Turn, tally: Tally, *, grace: float, rate: float) -> None:
    """Count a turn whose viewers have gone, and compare its ending and its text with the script.

    `grace` is in seconds, `rate` in tokens per second.
    """
    tally.counts["turns"] += 1
    ending = turn.ending
    tally.endings[ending or "none"] += 1
    if ending is None:
        tally.fault("turns without a last event", turn.turn_id)
        return
    if ending == "stopped" and turn.stopped_at and turn.ended_at:
        tally.stop_seconds.append(turn.ended_at - turn.stopped_at)
    said, text = "".join(script.answer(turn.number)), turn.text
    if not said.startswith(text) or (ending == "stop" and said != text):
        tally.fault("answers that are not what the model said", f"{turn.turn_id}: {text[-40:]!r}")
    if reason := _unexpected(turn, ending, grace, rate):
        tally.fault("unexpected endings", f"{turn.turn_id}: {ending}: {reason}")


def _unexpected(turn: Turn, ending: str, grace: float, rate: float) -> str:
    """Return why this ending is a fault; empty if it is not."""
    alone, events = turn.alone
    fate = turn.life.fate if turn.life else "unknown"
    if len(turn.endings) > 1 and not (LOST in turn.endings and fate != "runs"):
        return f"viewers were told {', '.join(sorted(turn.endings))}"
    match ending:
        case "stop":
            left = (script.length(turn.number) - events) / rate
            # A viewer on another worker counts for a grace time after it disconnects.
            late = 2 * grace + 3
            return f"nobody watched for {alone:.1f} s" if min(alone, left) > late else ""
        case "stopped":
            return "" if turn.stopped_at else "nobody stopped it"
        case "abandoned":
            # A viewer on another worker may have been recorded a moment before it disconnected.
            return "" if alone > grace - 1 else f"alone for {alone:.1f} s only"
        case "shutting-down":
            return "" if fate in ("drained", "unknown") else f"its worker {fate}"
        case "turn-lost":
            return "" if fate in ("killed", "unknown") else f"its worker {fate}"
    return "no such ending was planned"


def _split(frame: bytes) -> tuple[bytes, bytes, bytes]:
    """Split a frame into its id, event and data, in that order."""
    (_, place), (_, name), (_, data) = (line.split(b": ", 1) for line in frame.split(b"\n"))
    return place, name, data


def _ending(name: bytes, data: bytes) -> str:
    told = msgspec.json.decode(data)
    return str(told["finish_reason"] if name == b"done" else told["type"].rpartition(":")[2])
