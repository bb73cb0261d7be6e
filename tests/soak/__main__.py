"""Soak test: many streams while workers are restarted and killed. See tests/soak/README.md."""

import argparse
import asyncio
import sys
from pathlib import Path

import msgspec
import uvloop

from tests.soak.report import as_table, passed
from tests.soak.run import Options, soak


def main() -> int:
    """Run the test and return the exit status: 1 if a check failed, 130 if interrupted."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="duration (default: 10)")
    parser.add_argument("--streams", type=int, default=200, help="concurrent (default: 200)")
    parser.add_argument(
        "--rate", type=float, default=20.0, help="tokens a second of each answer (default: 20)"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the clients' actions (default: 1)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all values to FILE")
    arguments = parser.parse_args()
    options = Options(arguments.minutes * 60, arguments.streams, arguments.rate, arguments.seed)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        outcome = runner.run(soak(options))
    if arguments.json:
        arguments.json.write_bytes(msgspec.json.format(msgspec.json.encode(outcome)))
    print(as_table(outcome))
    if outcome.after is None:
        return 130
    return 0 if passed(outcome) else 1


if __name__ == "__main__":
    sys.exit(main())
