"""What the soak counts as a fault: a check that lets everything through would prove nothing."""

import json
from collections.abc import Sequence
from typing import Any, get_args

import pytest

from tests.soak import script
from tests.soak.turns import FAULTS, Seen, Tally, Turn, judge
from tests.soak.workers import Fate, Life

NUMBER = 7


class Ended(Life):
    """A worker's process of which nothing is known but what became of it."""

    def __init__(self, fate: Fate) -> None:
        self.fate = fate


def frame(number: int, name: str, data: Any) -> bytes:
    return f"id: t_1-{number}\nevent: {name}\ndata: {json.dumps(data)}".encode()


def frames(tokens: Sequence[str], ending: str = "stop", name: str = "done") -> list[bytes]:
    """Make a whole stream."""
    told = {"finish_reason": ending} if name == "done" else {"type": f"urn:problem:{ending}"}
    said = [("sources", []), *(("token", token) for token in tokens), (name, told)]
    return [frame(number, name, data) for number, (name, data) in enumerate(said)]


WHOLE = frames(script.answer(NUMBER))


def turn(fate: Fate = "runs") -> Turn:
    return Turn("t_1", NUMBER, Ended(fate), 0.0)


def faults(turn: Turn, *viewers: Sequence[bytes]) -> dict[str, int]:
    """Let viewers see these frames of a turn and return what is wrong with it."""
    tally = Tally()
    for viewer in viewers:
        seen = Seen(turn, tally)
        for each in viewer:
            seen.take(each)
    judge(turn, tally, grace=5, rate=10)
    return {name: tally.counts[name] for name in FAULTS if tally.counts[name]}


def test_a_whole_stream_has_no_fault() -> None:
    assert faults(turn(), WHOLE, WHOLE) == {}


def test_each_event_that_was_passed_over_is_lost() -> None:
    assert faults(turn(), WHOLE, [*WHOLE[:5], *WHOLE[8:]]) == {"events lost": 3}


def test_an_event_that_comes_again_is_doubled() -> None:
    assert faults(turn(), [*WHOLE[:5], *WHOLE[4:]]) == {"events doubled": 1}


def test_nothing_may_follow_the_last_event() -> None:
    found = faults(turn(), [*WHOLE, frame(len(WHOLE), "token", "more")])
    assert found["events after the last one"] == 1


def test_a_turn_must_have_a_last_event() -> None:
    assert faults(turn(), WHOLE[:-1]) == {"turns without a last event": 1}


def test_all_viewers_must_see_the_same() -> None:
    other = [*WHOLE[:3], frame(3, "token", "other"), *WHOLE[4:]]
    assert faults(turn(), WHOLE, other) == {"events that differ between viewers": 1}


def test_an_answer_must_be_what_the_model_said_and_all_of_it() -> None:
    for tokens in (["No. 8:"], script.answer(NUMBER)[:-1]):
        assert faults(turn(), frames(tokens)) == {"answers that are not what the model said": 1}


def test_a_part_of_the_answer_will_do_where_the_turn_was_stopped() -> None:
    stopped = turn()
    stopped.stopped_at = 1.0
    assert faults(stopped, frames(script.answer(NUMBER)[:20], "stopped")) == {}


@pytest.mark.parametrize("ending", ["stopped", "abandoned", "length", "refused"])
def test_an_ending_without_its_reason_is_unexpected(ending: str) -> None:
    told = frames(script.answer(NUMBER)[:20], ending)
    assert faults(turn(), told) == {"unexpected endings": 1}


@pytest.mark.parametrize("fate", get_args(Fate))
def test_only_a_killed_worker_loses_turns_and_only_a_drained_one_ends_them(fate: Fate) -> None:
    for ending, reason in (("turn-lost", "killed"), ("shutting-down", "drained")):
        found = faults(turn(fate), frames(["No. 7:"], ending, "error"))
        assert found == ({} if fate == reason else {"unexpected endings": 1})


def test_a_turn_is_abandoned_only_when_nobody_watched_for_the_grace_time() -> None:
    told = frames(script.answer(NUMBER)[:20], "abandoned")
    for seconds, found in ((4.0, {"unexpected endings": 1}), (6.0, {})):
        left = turn()
        left.arrive(0.0)
        left.leave(1.0)
        left.arrive(1.0 + seconds)
        assert faults(left, told) == found


def test_a_turn_that_nobody_watches_must_not_go_on_for_long() -> None:
    left = turn()
    left.arrive(20.0)
    assert faults(left, WHOLE) == {"unexpected endings": 1}


def test_what_was_seen_of_a_worker_before_it_was_killed_may_be_more_than_was_logged() -> None:
    lost = frames(["No. 7:"], "turn-lost", "error")
    later = lost[-1].replace(b"t_1-2", b"t_1-09")
    assert faults(turn("killed"), [*WHOLE[:9], later], lost) == {}
