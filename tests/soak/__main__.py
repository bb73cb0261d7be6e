"""Restart workers under many streams and report every fault.

`python -m tests.soak --minutes 10 --streams 200`; see README.md in this folder.
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
    """Run and print a table; returns 0 without faults, 1 with faults, 130 if interrupted."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--streams", type=int, default=200, help="concurrent questions")
    parser.add_argument("--rate", type=float, default=20.0, help="tokens per second of an answer")
    parser.add_argument("--seed", type=int, default=1, help="random seed of the clients' behaviour")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results as JSON")
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
