"""The figure of a study: a bar a row with the spread of its seeds, and beside it the difference to the reference with its interval."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from stopgrad.report.charts import Scale, tick_labels, ticks

LINE, TOP, FOOT = 24, 22, 22
NAMES, LEFT, RIGHT, WIDTH = 210, 218, 470, 760
"""Where names end, the bars begin and end, and how wide the figure is; the differences have what is left."""
GAP = 44


@dataclass(frozen=True)
class Bar:
    """One row."""

    name: str
    values: tuple[float, ...]
    """Accuracies, 0..1, one a seed; none of a row that has no accuracy."""
    difference: float | None
    """Mean difference to the reference, points."""
    interval: tuple[float, float] | None
    """Its 95 % interval."""
    collapsed: bool


def bars(rows: Sequence[Bar], untrained: float | None, title: str) -> Markup:
    """Return the figure as an ``<svg>``; ``untrained`` is the accuracy at random initialisation (0..1), a dotted line."""
    most = max((v for row in rows for v in row.values), default=1.0)
    x = Scale(0.0, min(1.0, 1.05 * max(most, untrained or 0.0)), LEFT, RIGHT)
    bottom = TOP + LINE * len(rows)
    parts = [Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">').format(WIDTH, bottom + FOOT, title)]
    places = ticks(x.low, x.high, 4)
    for value, label in zip(places, tick_labels(places, percent=True), strict=True):
        parts.append(
            Markup('<path class="grid" d="M{} {}V{}"/><text class="x" x="{}" y="{}">{}</text>').format(
                x(value), TOP, bottom, x(value), bottom + 15, label
            )
        )
    if untrained is not None:
        parts.append(Markup('<path class="reference" d="M{} {}V{}"/>').format(x(untrained), TOP, bottom))
    parts += [_bar(row, x, TOP + LINE * i) for i, row in enumerate(rows)]
    return Markup("").join([*parts, *_differences(rows, bottom), Markup("</svg>")])


def _bar(row: Bar, x: Scale, top: float) -> Markup:
    middle = top + LINE / 2
    drawn = Markup('<text class="name" x="{}" y="{}">{}</text>').format(NAMES, middle + 4, row.name)
    if not row.values:
        return drawn + Markup('<text class="none" x="{}" y="{}">no accuracy</text>').format(LEFT + 4, middle + 4)
    mean = statistics.fmean(row.values)
    kind = "collapsed" if row.collapsed else "sound"
    drawn += Markup('<rect class="{}" x="{}" y="{}" width="{}" height="{}"/>').format(kind, LEFT, top + 6, round(x(mean) - LEFT, 1), LINE - 12)
    if len(row.values) > 1:
        spread = statistics.stdev(row.values)
        drawn += _whisker(x(max(mean - spread, 0)), x(min(mean + spread, x.high)), middle)
    return drawn


def _signed(value: float) -> str:
    return f"{value:+g}".replace("-", "−") if value else "0"


def _whisker(low: float, high: float, y: float) -> Markup:
    return Markup('<path class="whisker" d="M{} {}H{}M{} {}v8M{} {}v8"/>').format(low, y, high, low, y - 4, high, y - 4)


def _differences(rows: Sequence[Bar], bottom: float) -> list[Markup]:
    """Return the right half: a dot and an interval a row, around 0."""
    ends = [end for row in rows if row.difference is not None for end in (row.difference, *(row.interval or ()))]
    if not ends:
        return []
    centre = [row.difference for row in rows if row.difference is not None]
    reach = 2 * max(max(map(abs, centre)), 1.0)  # a wide interval of few seeds is cut, or nothing else would be seen
    low, high = min(*ends, -reach / 8), max(*ends, reach / 8)
    scale = Scale(max(low, -reach), min(high, reach), RIGHT + GAP, WIDTH - 12)
    parts = [Markup('<text class="head" x="{}" y="{}">difference, points</text>').format(RIGHT + GAP, TOP - 9)]
    parts += [Markup('<text class="x" x="{}" y="{}">{}</text>').format(scale(v), bottom + 15, _signed(v)) for v in ticks(scale.low, scale.high, 4)]
    parts.append(Markup('<path class="zero" d="M{} {}V{}"/>').format(scale(0), TOP, bottom))
    for i, row in enumerate(rows):
        y = TOP + LINE * (i + 0.5)
        if row.difference is None or not math.isfinite(row.difference):
            continue
        if row.interval is not None:
            parts.append(_whisker(scale(max(row.interval[0], scale.low)), scale(min(row.interval[1], scale.high)), y))
        parts.append(Markup('<circle class="difference" cx="{}" cy="{}" r="3.4"/>').format(scale(row.difference), y))
    return parts
