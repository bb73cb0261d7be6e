"""Benchmark of a chat's cost: service, reference and floor. See tests/bench/README.md."""

import argparse
import asyncio
import sys
from collections.abc import Collection
from pathlib import Path

import msgspec

from tests.bench.check import Ratios, ratios_of, regressions
from tests.bench.plot import as_svg
from tests.bench.results import Results
from tests.bench.run import FULL, PARTS, QUICK, SCALING, run
from tests.bench.subjects import NAMES
from tests.bench.table import as_table

EXPECTED = Path(__file__).parent / "expected.json"


def main() -> int:
    """Run the benchmark and return the exit status: 1 if a part is invalid, 2 on a regression."""
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
    if options.update:
        _update_expected(results)
    elif options.check:
        expected = msgspec.json.decode(EXPECTED.read_bytes(), type=Ratios)
        if found := regressions(results, expected):
            print("Regressions of more than 10 %:", *found, sep="\n  ", file=sys.stderr)
            return 2
    return 1 if results.invalid else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument(
        "--only",
        type=_parts,
        default=PARTS,
        metavar="PART,…",
        help=f"parts to measure (default: {', '.join(PARTS)}; on request also"
        f" {', '.join(SCALING)}, or all of these as `scaling`)",
    )
    parser.add_argument(
        "--subjects",
        type=_subjects,
        default=NAMES,
        metavar="SERVER,…",
        help=f"servers to measure (default: {', '.join(NAMES)})",
    )
    parser.add_argument(
        "--quick", action="store_true", help="one short round of each part, as a smoke test"
    )
    parser.add_argument(
        "--table", type=Path, metavar="FILE", help="print the table of this JSON file and exit"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all values to FILE")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="write the capacity plot to FILE")
    parser.add_argument(
        "--check", action="store_true", help=f"fail on regressions against {EXPECTED.name}"
    )
    parser.add_argument(
        "--update", action="store_true", help=f"store the ratios in {EXPECTED.name}"
    )
    parser.add_argument(
        "--reference-python",
        type=lambda given: Path(given).absolute(),
        default=Path(sys.executable),
        metavar="FILE",
        help="Python with requirements-bench.lock installed (default: this one)",
    )
    return parser.parse_args()


def _parts(value: str) -> list[str]:
    return _choices(value.replace("scaling", ",".join(SCALING)), (*PARTS, *SCALING))


def _subjects(value: str) -> list[str]:
    return _choices(value, NAMES)


def _choices(value: str, known: Collection[str]) -> list[str]:
    chosen = value.split(",")
    if unknown := {*chosen} - {*known}:
        raise argparse.ArgumentTypeError(
            f"unknown: {', '.join(sorted(unknown))}; choose from {', '.join(known)}"
        )
    return chosen


def _update_expected(results: Results) -> None:
    """Store the ratios of this run; those of parts that were not measured stay."""
    stored = msgspec.json.decode(EXPECTED.read_bytes()) if EXPECTED.exists() else {}
    merged = msgspec.json.encode({**stored, **ratios_of(results)}, order="sorted")
    EXPECTED.write_bytes(msgspec.json.format(merged) + b"\n")


if __name__ == "__main__":
    sys.exit(main())
