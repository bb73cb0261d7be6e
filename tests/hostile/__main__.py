"""Attacks beside paced streams, which must lose nothing. See tests/hostile/README.md."""

import argparse
import asyncio
import sys
from pathlib import Path

import msgspec
import uvloop

from tests.hostile.report import as_table, passed
from tests.hostile.run import Options, hostile


def main() -> int:
    """Run the test and return the exit status: 1 if a check failed, 130 if interrupted."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description=__doc__)
    parser.add_argument("--minutes", type=float, default=3.0, help="of attacks (default: 3)")
    parser.add_argument("--streams", type=int, default=50, help="concurrent (default: 50)")
    parser.add_argument(
        "--rate", type=float, default=20.0, help="tokens a second of each answer (default: 20)"
    )
    parser.add_argument("--seed", type=int, default=1, help="of all choices (default: 1)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all values to FILE")
    arguments = parser.parse_args()
    options = Options(arguments.minutes * 60, arguments.streams, arguments.rate, arguments.seed)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        outcome = runner.run(hostile(options))
    if arguments.json:
        arguments.json.write_bytes(msgspec.json.format(msgspec.json.encode(outcome)))
    print(as_table(outcome))
    if outcome.after is None:
        return 130
    return 0 if passed(outcome) else 1


if __name__ == "__main__":
    sys.exit(main())
