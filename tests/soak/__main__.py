"""Minutes and a number of streams come in; a table of what went wrong goes out, best of nothing.

`python -m tests.soak --minutes 10 --streams 200`; see the README beside.
"""

import argparse
import asyncio
import sys
from pathlib import Path

import msgspec
import uvloop

from tests.soak.report import as_table, passed
from tests.soak.run import Options, soak


def main() -> int:
    """Run, print a table; returns 0 where all is well, 1 where not, 130 where it was cut off."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--streams", type=int, default=200, help="questions asked at a time")
    parser.add_argument("--rate", type=float, default=20.0, help="tokens a second of an answer")
    parser.add_argument("--seed", type=int, default=1, help="of all that clients choose to do")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the figures here too")
    given = parser.parse_args()
    options = Options(given.minutes * 60, given.streams, given.rate, given.seed)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        outcome = runner.run(soak(options))
    if given.json:
        given.json.write_bytes(msgspec.json.format(msgspec.json.encode(outcome)))
    print(as_table(outcome))
    if outcome.after is None:
        return 130
    return 0 if passed(outcome) else 1


if __name__ == "__main__":
    sys.exit(main())
