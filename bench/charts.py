"""Line charts as SVG, written from what a benchmark measured, without a library: docs/pictures/bench-NAME.svg.

Along x, twice as much is one step, which is how cost grows, unless the chart says that it counts evenly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "pictures"
WIDTH, HEIGHT = 640, 320
LEFT, RIGHT, TOP, BOTTOM = 64, 160, 44, 48
#: of the lines in turn: told apart by those who see no red or green, and in grey
COLOURS = ("#0b6e99", "#d9730d", "#6940a5", "#448361", "#9b2f5c", "#64605b", "#b8860b", "#1f3a93")


@dataclass(frozen=True)
class Line:
    """One series; a floor or a goal is drawn broken."""

    name: str
    y: list[float]
    floor: bool = False


@dataclass(frozen=True)
class Chart:
    """`x` ascends and is the same for all lines; `log_y` where figures differ by powers."""

    name: str
    title: str
    x_title: str
    y_title: str
    x: list[float]
    lines: list[Line]
    log_y: bool = False
    #: steps along x are even, not by powers
    even: bool = False

    @property
    def file(self) -> str:
        return f"bench-{self.name}.svg"

    def write(self) -> None:
        FOLDER.mkdir(parents=True, exist_ok=True)
        (FOLDER / self.file).write_text(draw(self))


def draw(chart: Chart) -> str:
    """The picture's text."""
    low, high, marks = _scale([value for line in chart.lines for value in line.y], log=chart.log_y)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" font-size="12"',
        ' font-family="system-ui, sans-serif" fill="#37352f">',
        f"<title>{escape(chart.title)}</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        _text(LEFT, 18, chart.title, size=14, weight="600"),
        _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, chart.x_title, anchor="middle"),
        _text(LEFT - 8, TOP - 12, chart.y_title, anchor="end"),
    ]
    for mark in marks:
        y = _y(mark, low, high, chart.log_y)
        parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#e3e2e0"/>')
        parts.append(_text(LEFT - 8, y + 4, _short(mark), anchor="end"))
    for value in chart.x:
        x = _x(value, chart)
        parts.append(f'<path d="M{x:.1f} {HEIGHT - BOTTOM}v5" stroke="#37352f"/>')
        parts.append(_text(x, HEIGHT - BOTTOM + 18, _short(value), anchor="middle"))
    ends: list[tuple[float, str, str]] = []
    for number, line in enumerate(chart.lines):
        colour = COLOURS[number % len(COLOURS)]
        points = _points(chart, line, low, high)
        if points:
            parts += _line(line, points, colour)
            ends.append((points[-1][1] + 4, line.name, colour))
    return "\n".join([*parts, *_names(ends), "</svg>"]) + "\n"


def _names(ends: list[tuple[float, str, str]]) -> list[str]:
    """Beside the end of each line; those of lines that end close to each other move apart, in their order."""
    parts, least = [], 0.0
    for at, name, colour in sorted(ends):
        least = max(at, least + 14)
        parts.append(_text(WIDTH - RIGHT + 10, least, name, colour=colour))
    return parts


def _points(chart: Chart, line: Line, low: float, high: float) -> list[tuple[float, float]]:
    return [(_x(x, chart), _y(y, low, high, chart.log_y)) for x, y in zip(chart.x, line.y, strict=True) if _fits(y)]


def _line(line: Line, points: list[tuple[float, float]], colour: str) -> list[str]:
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    broken = ' stroke-dasharray="5 4"' if line.floor else ""
    parts = [f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"{broken}/>']
    if not line.floor:
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in points]
    return parts


def _fits(value: float) -> bool:
    return not math.isnan(value)


def _scale(values: list[float], *, log: bool) -> tuple[float, float, list[float]]:
    """Lowest, highest, and the values that get a line across."""
    values = [value for value in values if _fits(value)]
    if log:
        low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
        high = max(high, low + 1)
        return 10.0**low, 10.0**high, [10.0**power for power in range(low, high + 1)]
    step = _step(max(values) / 5)
    top = math.ceil(max(values) / step)
    return 0.0, top * step, [number * step for number in range(top + 1)]


def _step(least: float) -> float:
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * round_ for round_ in (1, 2, 5, 10) if power * round_ >= least)


def _x(value: float, chart: Chart) -> float:
    first, last = chart.x[0], chart.x[-1]
    if not chart.even:
        value, first, last = (math.log(one) for one in (value, first, last))
    share = (value - first) / (last - first) if last > first else 0.5
    return LEFT + 12 + share * (WIDTH - RIGHT - LEFT - 24)


def _y(value: float, low: float, high: float, log: bool) -> float:
    if log:
        value, low, high = (math.log10(one) for one in (value, low, high))
    return HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - BOTTOM - TOP)


def _short(value: float) -> str:
    for size, unit in ((1_000_000, " M"), (1_000, " k")):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def _text(x: float, y: float, text: str, *, anchor: str = "start", size: int = 12, weight: str = "400",
          colour: str = "#37352f") -> str:  # fmt: skip
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" font-weight="{weight}"'
        f' fill="{colour}">{escape(text)}</text>'
    )
