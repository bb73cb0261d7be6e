"""Run benchmarks and print a table, JSON and a plot of the results.

`python -m tests.bench --only single,burst`; see README.md in this folder.
"""

import argparse
import asyncio
import sys
from collections.abc import Collection
from pathlib import Path

import msgspec

from tests.bench.check import Ratios, ratios_of, worse
from tests.bench.measured import Results
from tests.bench.plot import as_svg
from tests.bench.run import EXTRA, FULL, PARTS, QUICK, run
from tests.bench.subjects import NAMES
from tests.bench.table import as_table

EXPECTED = Path(__file__).parent / "expected.json"
EVERY = f"{', '.join(PARTS)}; and, if asked for, growing: {', '.join(EXTRA)}"


def main() -> int:
    """Measure and print; returns 1 if a part is void, 2 if a figure is worse, and otherwise 0."""
    options = _options()
    if options.table:
        print(as_table(msgspec.json.decode(options.table.read_bytes(), type=Results)))
        return 0
    effort = QUICK if options.quick else FULL
    results = asyncio.run(run(options.only, effort, options.reference_python, options.subjects))
    print(as_table(results))
    if options.json:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(results)))
    if options.svg and results.steps:
        options.svg.write_text(as_svg(results.steps))
    if options.write_down:
        _write_down(results)
    elif options.check:
        expected = msgspec.json.decode(EXPECTED.read_bytes(), type=Ratios)
        if complaints := worse(results, expected):
            print("Worse by more than a tenth:", *complaints, sep="\n  ", file=sys.stderr)
            return 2
    return 1 if results.void else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--only", type=_parts, default=PARTS, metavar="PART,…", help=f"of {EVERY}")
    parser.add_argument("--subjects", type=_subjects, default=NAMES, metavar="SERVER,…")
    parser.add_argument(
        "--quick", action="store_true", help="a single short round, to see that it works"
    )
    parser.add_argument(
        "--table", type=Path, metavar="FILE", help="only print the table of this JSON"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all values as JSON")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="plot late tokens to this file")
    parser.add_argument("--check", action="store_true", help=f"compare with {EXPECTED.name}")
    parser.add_argument(
        "--write-down", action="store_true", help=f"record the results in {EXPECTED.name}"
    )
    parser.add_argument(
        "--reference-python",
        type=lambda given: Path(given).absolute(),
        default=Path(sys.executable),
        metavar="FILE",
        help="the Python with requirements-bench.lock installed",
    )
    return parser.parse_args()


def _parts(value: str) -> list[str]:
    return _chosen(value.replace("growing", ",".join(EXTRA)), (*PARTS, *EXTRA))


def _subjects(value: str) -> list[str]:
    return _chosen(value, NAMES)


def _chosen(value: str, known: Collection[str]) -> list[str]:
    chosen = value.split(",")
    if unknown := {*chosen} - {*known}:
        raise argparse.ArgumentTypeError(f"not among them: {', '.join(sorted(unknown))}")
    return chosen


def _write_down(results: Results) -> None:
    """Record the ratios of this run, and keep those of other parts."""
    written = msgspec.json.decode(EXPECTED.read_bytes()) if EXPECTED.exists() else {}
    merged = msgspec.json.encode({**written, **ratios_of(results)}, order="sorted")
    EXPECTED.write_bytes(msgspec.json.format(merged) + b"\n")


if __name__ == "__main__":
    sys.exit(main())
