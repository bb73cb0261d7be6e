"""Summarise a run as a table and compare it with its limits. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# Default limits of p95, in milliseconds; other measurements have none.
LIMITS = {"sources": 500.0, "first token": 750.0, "between tokens": 250.0}


@dataclass(frozen=True)
class Figure:
    """A measurement: its count, and its times in milliseconds."""

    name: str
    count: int
    p50: float
    p95: float
    p99: float
    most: float


@dataclass(frozen=True)
class Summary:
    """A run: its measurements, the limits of their p95 by name, and failures with their limit."""

    figures: Sequence[Figure]
    limits: Mapping[str, float]
    failures: int
    most_failures: int

    @property
    def complaints(self) -> list[str]:
        """List the exceeded limits; empty if the run has passed."""
        found = [
            f"{it.name}: p95 {it.p95:,.0f} ms, wanted at most {self.limits[it.name]:,.0f}"
            for it in self.figures
            if it.p95 > self.limits.get(it.name, float("inf"))
        ]
        if self.failures > self.most_failures:
            found.append(f"failures: {self.failures:,}, wanted at most {self.most_failures:,}")
        if not any(it.name == "whole answer" and it.count for it in self.figures):
            found.append("no answer was read from its start to its end")
        return found

    def __str__(self) -> str:
        lines = [
            "| ms | count | p50 | p95 | p99 | most | p95 wanted |",
            "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
        ]
        for it in self.figures:
            times = " | ".join(f"{value:,.0f}" for value in (it.p50, it.p95, it.p99, it.most))
            limit = self.limits.get(it.name)
            wanted = "" if limit is None else f"{limit:,.0f}"
            lines.append(f"| {it.name} | {it.count:,} | {times} | {wanted} |")
        lines.append(f"\nFailures: {self.failures:,} (at most {self.most_failures:,})")
        complaints = self.complaints
        lines += [f"FAIL: {it}" for it in complaints] or ["PASS"]
        return "\n".join(lines)
