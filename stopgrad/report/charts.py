"""Small line charts as inline SVG: nice ticks, reference lines, several series, and the data for the hover.

Coordinates are those of the viewBox. Colours are classes (``s0``, ``s1``, …), so that the page's style sheet decides on them.
What a reference line means is written below the chart, not in it: there is no place that every curve leaves free.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

WIDTH, HEIGHT = 360, 184
LEFT, RIGHT, TOP, BOTTOM = 42, 352, 14, 162
FRAME = {"width": WIDTH, "left": LEFT, "right": RIGHT, "top": TOP, "bottom": BOTTOM}
"""The same for page.js."""
BUCKETS = 120
"""Stretches of steps of which a series keeps its first, lowest, highest and last record: about the pixels of a chart."""
FEW = 24
"""Series of at most this many points show each as a dot."""
COLOURS = 10
"""Colours of runs; further runs take them again, dashed, then dotted."""
CLEAR = 11
"""Least distance of two labels of an axis."""


@dataclass(frozen=True)
class Series:
    """One line: ``values[i]`` was recorded at ``steps[i]``; steps rise; values that are not finite break the line."""

    name: str
    colour: int
    steps: list[int]
    values: list[float]


@dataclass(frozen=True)
class Reference:
    """A dotted horizontal line at ``value``, and what it means in a few words."""

    value: float
    label: str
    bound: bool = True
    """Whether no value can lie beyond it: the axis may then end there."""


@dataclass(frozen=True, kw_only=True)
class Chart:
    """What one chart shows. The axis holds every finite value, every reference and ``include``."""

    key: str
    title: str
    note: str
    series: tuple[Series, ...]
    references: tuple[Reference, ...] = ()
    include: tuple[float, ...] = ()
    percent: bool = False
    """Values are shares of 1, written as per cent."""
    log: bool = False
    """Logarithmic axis; every value must then be above 0."""


@dataclass(frozen=True)
class Scale:
    """Maps values between ``low`` and ``high`` to coordinates between ``start`` and ``end``."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high = (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)
        share = ((math.log(value) if self.log else value) - low) / (high - low)
        return round(self.start + share * (self.end - self.start), 1)


def ticks(low: float, high: float, count: int) -> list[float]:
    """Return the multiples of 1, 2 or 5 × 10ⁿ within ``[low, high]``: about ``count``, never more than ``count + 1``. Needs low < high."""
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{i * step:.12g}") for i in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Return the powers of ten within ``[low, high]``; where there are fewer than two, also 2 and 5 times them."""
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1,), (1, 2, 5)):
        found = [float(m * 10.0**e) for e in exponents for m in steps if low * (1 - 1e-9) <= m * 10.0**e <= high * (1 + 1e-9)]
        if len(found) >= 2:
            break
    return found


def paint(colour: int) -> str:
    """Return the classes that give a run its colour."""
    return f"s{colour % COLOURS}" + (f" turn{min(colour // COLOURS, 2)}" if colour >= COLOURS else "")


def thin(series: Series) -> Series:
    """Return ``series`` with at most a few hundred of its own records: of each stretch the first, lowest, highest and last.

    Nothing is averaged: what the chart shows was written in the file, and no spike is lost. The first value that is not
    finite stays too, in every stretch.
    """
    if len(series.steps) <= 4 * BUCKETS:
        return series
    span = (series.steps[-1] - series.steps[0]) / BUCKETS
    stretches: dict[int, list[int]] = {}
    for i, step in enumerate(series.steps):
        stretches.setdefault(min(int((step - series.steps[0]) / span), BUCKETS - 1), []).append(i)
    kept: set[int] = set()
    for rows in stretches.values():
        finite = [i for i in rows if math.isfinite(series.values[i])]
        broken = [i for i in rows if not math.isfinite(series.values[i])]
        kept |= {rows[0], rows[-1], *broken[:1]}
        if finite:
            kept |= {min(finite, key=series.values.__getitem__), max(finite, key=series.values.__getitem__)}
    rows = sorted(kept)
    return Series(series.name, series.colour, [series.steps[i] for i in rows], [series.values[i] for i in rows])


def tick_labels(values: Sequence[float], percent: bool = False) -> list[str]:
    """Return the labels of an axis: as many decimals as its step needs; thousands and millions as k and M."""
    if percent:
        return [f"{label} %" for label in tick_labels([100 * v for v in values])]
    largest = max(abs(v) for v in values)
    unit, letter = (1e6, "M") if largest >= 1e6 else (1e3, "k") if largest >= 1e4 else (1.0, "")
    scaled = [v / unit for v in values]
    if letter == "" and 0 < largest < 1e-3:
        return ["0" if v == 0 else f"{v:.0e}".replace("e-0", "e-").replace("-", "−") for v in values]
    decimals = next(d for d in range(7) if d == 6 or all(abs(round(v, d) - v) < 1e-9 for v in scaled))
    return [f"{v:,.{decimals}f}{letter if v else ''}".replace("-", "−") for v in scaled]


def axes(chart: Chart) -> tuple[Scale, Scale]:
    """Return the scales of the steps and of the values: every finite value, reference and ``include`` inside, with a little air."""
    steps = [s for line in chart.series for s in line.steps]
    values = [v for line in chart.series for v in line.values if math.isfinite(v)]
    values += [r.value for r in chart.references] + list(chart.include)
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    if low == high:
        low, high = (low / 2, high * 2) if chart.log else (low - 0.1 * (abs(low) or 1), high + 0.1 * (abs(high) or 1))
    air = 0.0 if chart.log else 0.04 * (high - low)
    fixed = {*chart.include, *(r.value for r in chart.references if r.bound)}
    x = Scale(min(0, *steps), max(1, *steps), LEFT, RIGHT) if steps else Scale(0, 1, LEFT, RIGHT)
    y = Scale(low - (0 if low in fixed else air), high + (0 if high in fixed else air), BOTTOM, TOP, chart.log)
    return x, y


def svg(chart: Chart, marks: Sequence[tuple[int, int]] = ()) -> Markup:
    """Return the chart as an ``<svg>``; ``marks`` are (step, colour) of vertical lines: where a run collapsed."""
    x, y = axes(chart)
    parts = [Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}" tabindex="0">').format(WIDTH, HEIGHT, chart.title)]
    for value, label, kind in _marked(chart, y):
        line = Markup("") if kind else Markup('<path class="grid" d="M{} {}H{}"/>').format(LEFT, y(value), RIGHT)
        parts.append(line + Markup('<text class="y{}" x="{}" y="{}">{}</text>').format(kind, LEFT - 6, round(y(value) + 3.5, 1), label))
    steps = ticks(x.low, x.high, 4)
    for step, label in zip(steps, tick_labels(steps), strict=True):
        parts.append(Markup('<text class="x" x="{}" y="{}">{}</text>').format(x(step), HEIGHT - 5, label))
    parts += [Markup('<path class="mark {}" d="M{} {}V{}"/>').format(paint(colour), x(step), TOP, BOTTOM) for step, colour in marks]
    parts += [Markup('<path class="reference" d="M{} {}H{}"/>').format(LEFT, y(r.value), RIGHT) for r in chart.references]
    parts += [_line(line, x, y) for line in chart.series]
    parts += [
        Markup('<path class="cross" d=""/><text class="when" y="{}"></text>').format(HEIGHT - 5),
        *(Markup('<circle class="at {}" r="3"/>').format(paint(line.colour)) for line in chart.series),
    ]
    return Markup("").join([*parts, Markup("</svg>")])


def hover(chart: Chart) -> dict[str, Any]:
    """Return what page.js needs to read values off the chart: scales and points; values that are not finite are null."""
    x, y = axes(chart)
    lines = [{"steps": s.steps, "values": [v if math.isfinite(v) else None for v in s.values]} for s in chart.series]
    return {"key": chart.key, "percent": chart.percent, "log": chart.log, "x": [x.low, x.high], "y": [y.low, y.high], "series": lines}


def _line(line: Series, x: Scale, y: Scale) -> Markup:
    pieces, pen_down = [], False
    for i, (step, value) in enumerate(zip(line.steps, line.values, strict=True)):
        if math.isfinite(value):
            ends_here = i + 1 == len(line.values) or not math.isfinite(line.values[i + 1])
            pieces.append(f"{'L' if pen_down else 'M'}{x(step)} {y(value)}" + ("h0" if ends_here and not pen_down else ""))
        pen_down = math.isfinite(value)
    drawn = Markup('<path class="line {}" d="{}"/>').format(paint(line.colour), "".join(pieces))
    if len(line.steps) > FEW:
        return drawn
    dots = "".join(f"M{x(s)} {y(v)}h0" for s, v in zip(line.steps, line.values, strict=True) if math.isfinite(v))
    return drawn + Markup('<path class="dots {}" d="{}"/>').format(paint(line.colour), dots)


def _marked(chart: Chart, y: Scale) -> list[tuple[float, str, str]]:
    """Return (value, label, class) of the axis: the references first, then the nice numbers that leave their labels room."""
    found = [(r.value, f"{r.value:,g}".replace("-", "−"), " of-reference") for r in chart.references]
    places = log_ticks(y.low, y.high) if chart.log else ticks(y.low, y.high, 4)
    return found + [
        (value, label, "")
        for value, label in zip(places, tick_labels(places, chart.percent), strict=True)
        if all(abs(y(value) - y(r.value)) >= CLEAR for r in chart.references)
    ]
