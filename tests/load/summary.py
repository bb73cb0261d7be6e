"""Summary of a load test: its figures, and the limits that they exceed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# Default limits of p95, in milliseconds; the other figures have none.
LIMITS = {"sources": 500.0, "first token": 750.0, "between tokens": 250.0}


@dataclass(frozen=True)
class Figure:
    """A figure: number of measurements, percentiles and maximum in milliseconds."""

    name: str
    count: int
    p50: float
    p95: float
    p99: float
    maximum: float


@dataclass(frozen=True)
class Summary:
    """A run: its figures, the limits of their p95 by name, failures, and their limit."""

    figures: Sequence[Figure]
    limits: Mapping[str, float]
    failures: int
    max_failures: int

    @property
    def violations(self) -> list[str]:
        """The exceeded limits; empty if the run passed."""
        found = [
            f"{it.name}: p95 {it.p95:,.0f} ms, limit {self.limits[it.name]:,.0f} ms"
            for it in self.figures
            if it.p95 > self.limits.get(it.name, float("inf"))
        ]
        if self.failures > self.max_failures:
            found.append(f"failures: {self.failures:,}, limit {self.max_failures:,}")
        if not any(it.name == "whole answer" and it.count for it in self.figures):
            found.append("no answer was read without interruption")
        return found

    def __str__(self) -> str:
        lines = [
            "| ms | count | p50 | p95 | p99 | max | p95 limit |",
            "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
        ]
        for it in self.figures:
            times = " | ".join(f"{value:,.0f}" for value in (it.p50, it.p95, it.p99, it.maximum))
            limit = self.limits.get(it.name)
            shown_limit = "" if limit is None else f"{limit:,.0f}"
            lines.append(f"| {it.name} | {it.count:,} | {times} | {shown_limit} |")
        lines.append(f"\nFailures: {self.failures:,} (limit {self.max_failures:,})")
        lines += [f"FAIL: {it}" for it in self.violations] or ["PASS"]
        return "\n".join(lines)
