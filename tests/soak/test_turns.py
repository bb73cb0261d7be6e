"""The soak test's own checks find each kind of fault."""

import json
from collections.abc import Sequence
from typing import Any, get_args

import pytest

from tests.soak import script
from tests.soak.turns import FAULTS, ReceivedEvents, Tally, Turn, check_turn
from tests.soak.workers import WorkerProcess, WorkerState

NUMBER = 7


class Ended(WorkerProcess):
    """A worker process that only has a state."""

    def __init__(self, state: WorkerState) -> None:
        self.state = state


def frame(number: int, name: str, data: Any) -> bytes:
    return f"id: t_1-{number}\nevent: {name}\ndata: {json.dumps(data)}".encode()


def frames(tokens: Sequence[str], ending: str = "stop", name: str = "done") -> list[bytes]:
    """Return the frames of a complete stream."""
    last = {"finish_reason": ending} if name == "done" else {"type": f"urn:problem:{ending}"}
    events = [("sources", []), *(("token", token) for token in tokens), (name, last)]
    return [frame(number, name, data) for number, (name, data) in enumerate(events)]


WHOLE = frames(script.answer(NUMBER))


def turn(state: WorkerState = "running") -> Turn:
    return Turn("t_1", NUMBER, Ended(state), 0.0)


def faults(turn: Turn, *viewers: Sequence[bytes]) -> dict[str, int]:
    """Return the faults of a turn whose viewers received these frames."""
    tally = Tally()
    for viewer in viewers:
        received = ReceivedEvents(turn, tally)
        for each in viewer:
            received.add(each)
    check_turn(turn, tally, grace=5, rate=10)
    return {name: tally.counts[name] for name in FAULTS if tally.counts[name]}


def test_complete_stream_has_no_fault() -> None:
    assert faults(turn(), WHOLE, WHOLE) == {}


def test_skipped_events_count_as_lost() -> None:
    assert faults(turn(), WHOLE, [*WHOLE[:5], *WHOLE[8:]]) == {"events lost": 3}


def test_repeated_event_is_a_fault() -> None:
    assert faults(turn(), [*WHOLE[:5], *WHOLE[4:]]) == {"events repeated": 1}


def test_event_after_the_last_one_is_a_fault() -> None:
    found = faults(turn(), [*WHOLE, frame(len(WHOLE), "token", "more")])
    assert found["events after the last one"] == 1


def test_turn_without_a_last_event_is_a_fault() -> None:
    assert faults(turn(), WHOLE[:-1]) == {"turns without a last event": 1}


def test_difference_between_viewers_is_a_fault() -> None:
    other = [*WHOLE[:3], frame(3, "token", "other"), *WHOLE[4:]]
    assert faults(turn(), WHOLE, other) == {"events that differ between viewers": 1}


def test_wrong_or_incomplete_answer_is_a_fault() -> None:
    for tokens in (["No. 8:"], script.answer(NUMBER)[:-1]):
        assert faults(turn(), frames(tokens)) == {"answers that differ from the model's": 1}


def test_stopped_turn_may_have_a_partial_answer() -> None:
    stopped = turn()
    stopped.stopped_at = 1.0
    assert faults(stopped, frames(script.answer(NUMBER)[:20], "stopped")) == {}


@pytest.mark.parametrize("ending", ["stopped", "abandoned", "length", "refused"])
def test_ending_without_a_cause_is_unexpected(ending: str) -> None:
    received = frames(script.answer(NUMBER)[:20], ending)
    assert faults(turn(), received) == {"unexpected endings": 1}


@pytest.mark.parametrize("state", get_args(WorkerState))
def test_lost_turn_needs_a_killed_worker_and_shutdown_a_drained_one(
    state: WorkerState,
) -> None:
    for ending, reason in (("turn-lost", "killed"), ("shutting-down", "drained")):
        found = faults(turn(state), frames(["No. 7:"], ending, "error"))
        assert found == ({} if state == reason else {"unexpected endings": 1})


def test_turn_may_be_abandoned_only_after_the_grace_time_without_viewers() -> None:
    received = frames(script.answer(NUMBER)[:20], "abandoned")
    for seconds, found in ((4.0, {"unexpected endings": 1}), (6.0, {})):
        left = turn()
        left.viewer_connected(0.0)
        left.viewer_disconnected(1.0)
        left.viewer_connected(1.0 + seconds)
        assert faults(left, received) == found


def test_turn_that_runs_on_without_viewers_is_a_fault() -> None:
    left = turn()
    left.viewer_connected(20.0)
    assert faults(left, WHOLE) == {"unexpected endings": 1}


def test_viewer_of_a_killed_worker_may_have_seen_more_than_the_log() -> None:
    lost = frames(["No. 7:"], "turn-lost", "error")
    later = lost[-1].replace(b"t_1-2", b"t_1-09")
    assert faults(turn("killed"), [*WHOLE[:9], later], lost) == {}
