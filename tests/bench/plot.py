"""SVG plot of the capacity search: late tokens by number of streams."""

from collections.abc import Iterator, Sequence
from math import log10

from tests.bench.results import Step
from tests.bench.subjects import NAMES

COLOURS = {"reference": "#c0392b", "service": "#1f6feb", "floor": "#6e7781"}
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 400, 60, 110, 30, 50


def as_svg(steps: Sequence[Step]) -> str:
    """Plot the share of late tokens by number of streams; of repeated steps the best counts."""
    counts = [step.streams for step in steps]
    scale = _Scale(min(counts) * 0.8, max(counts) * 1.2)
    parts = [*_frame(scale)]
    for name in NAMES:
        best = dict[int, Step]()
        for step in sorted((one for one in steps if one.server == name), key=lambda s: -s.late):
            best[step.streams] = step
        if best:
            parts += _curve(scale, name, [best[streams] for streams in sorted(best)])
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="12">\n'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>\n'
    )
    return head + "\n".join(parts) + "\n</svg>\n"


class _Scale:
    """Coordinates: streams on a logarithmic x axis, share on a linear y axis."""

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, high
        self._from, self._span = log10(low), log10(high) - log10(low)

    def x(self, streams: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (log10(streams) - self._from) / self._span

    def y(self, share: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (1 - share)


def _frame(scale: _Scale) -> Iterator[str]:
    yield _text(LEFT, 18, "tokens over 50 ms late, by streams of 50 tokens a second on one core")
    for share in (0, 0.25, 0.5, 0.75, 1):
        y = scale.y(share)
        yield f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>'
        yield _text(LEFT - 8, y + 4, f"{share:.0%}", "end")
    ticks = (number * 10**power for power in range(5) for number in (1, 2, 5))
    for streams in ticks:
        if scale.low <= streams <= scale.high:
            x = scale.x(streams)
            yield f'<path d="M{x:.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="#eee"/>'
            yield _text(x, HEIGHT - BOTTOM + 18, f"{streams:,}", "middle")


def _curve(scale: _Scale, name: str, steps: Sequence[Step]) -> Iterator[str]:
    colour = COLOURS[name]
    points = [(scale.x(step.streams), scale.y(step.late)) for step in steps]
    joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    yield f'<polyline points="{joined}" fill="none" stroke="{colour}" stroke-width="2"/>'
    for (x, y), step in zip(points, steps, strict=True):
        label = f"{name}: {step.streams} streams, p99 {step.p99_ms:.0f} ms"
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"><title>{label}</title>'
        yield "</circle>"
    x, y = points[-1]
    yield _text(x + 8, y + 4, name, fill=colour)


def _text(x: float, y: float, text: str, anchor: str = "start", fill: str = "#333") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{fill}">{text}</text>'
