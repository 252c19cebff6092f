"""How the penalty of the linear classifier was chosen: a small curve a row, the chosen penalty marked."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from stopgrad.report.charts import Scale
from stopgrad.report.files import Evaluation, Judged, Sweep
from stopgrad.report.results import BASELINES
from stopgrad.report.wording import readable

WIDTH, HEIGHT, EDGE = 168, 40, 5


@dataclass(frozen=True)
class Tried:
    """One sweep: whose, its curve, the penalty chosen, and the accuracy there in per cent."""

    label: str
    colour: int | None
    svg: Markup
    chosen: str
    accuracy: str


@dataclass(frozen=True)
class Sweeps:
    """All sweeps of the page, drawn on the same axes, of which ``l2`` and ``accuracy`` (per cent) are the ends."""

    rows: tuple[Tried, ...]
    l2: tuple[str, str]
    accuracy: tuple[str, str]
    images: int
    """Training images that decided; 0 where that is not told, or the rows differ in it."""


def sweeps(runs: Sequence[Judged]) -> Sweeps | None:
    """Return the sweeps of all results, baselines once where they agree; None when no protocol had one."""
    baselines = [row for features in BASELINES for row in _baseline(runs, features)]
    others = [(run, e) for run in runs for e in run.evaluations if e.features not in BASELINES]
    own = [(e.sweep, _label(run, e, runs), run.colour) for run, e in others if e.sweep is not None]
    found = [*baselines, *own]
    if not found:
        return None
    points = [point for sweep, _, _ in found for point in sweep.tried]
    l2, accuracy = [p[0] for p in points], [p[1] for p in points]
    x = Scale(*_apart(min(l2), max(l2), 2), EDGE, WIDTH - EDGE, log=True)
    low, high = _apart(min(accuracy), max(accuracy), 0)
    y = Scale(low, high, HEIGHT - EDGE, EDGE)
    rows = tuple(_tried(sweep, label, colour, x, y) for sweep, label, colour in found)
    images = {sweep.images for sweep, _, _ in found}
    ends = (readable(min(l2)), readable(max(l2))), (_percent(min(accuracy)), _percent(max(accuracy)))
    return Sweeps(rows, *ends, images.pop() if len(images) == 1 else 0)


def _baseline(runs: Sequence[Judged], features: str) -> list[tuple[Sweep, str, None]]:
    """Return (sweep, label, no colour) of a baseline: once where all runs agree, else each sweep with the runs that have it."""
    holders: dict[Sweep, list[str]] = {}
    for run in runs:
        for sweep in [e.sweep for e in run.evaluations if e.features == features and e.sweep is not None]:
            holders.setdefault(sweep, []).append(run.name)
    label = BASELINES[features]
    return [(sweep, label if len(holders) == 1 else f"{label}, {', '.join(names)}", None) for sweep, names in holders.items()]


def _label(run: Judged, evaluation: Evaluation, runs: Sequence[Judged]) -> str:
    name = run.name if len(runs) > 1 else run.this.capitalize()
    return name if evaluation.features == "backbone" else f"{name}, {evaluation.features}"


def _apart(low: float, high: float, factor: float) -> tuple[float, float]:
    """Return the ends of an axis, moved apart where they are one: by ``factor``, or without one by a point."""
    if low < high:
        return low, high
    return (low / factor, high * factor) if factor else (low - 0.01, high + 0.01)


def _tried(sweep: Sweep, label: str, colour: int | None, x: Scale, y: Scale) -> Tried:
    best = dict(sweep.tried).get(sweep.chosen, math.nan)
    words = ", ".join(f"l2 {readable(l2)}: {_percent(accuracy)}" for l2, accuracy in sweep.tried)
    line = "".join(f"{'L' if i else 'M'}{x(l2)} {y(accuracy)}" for i, (l2, accuracy) in enumerate(sweep.tried))
    dots = "".join(f"M{x(l2)} {y(accuracy)}h0" for l2, accuracy in sweep.tried)
    drawn = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}"><title>{}</title>').format(WIDTH, HEIGHT, words, words)
    drawn += Markup('<path class="line" d="{}"/><path class="dots" d="{}"/>').format(line, dots)
    if math.isfinite(best):
        drawn += Markup('<circle class="ring" cx="{}" cy="{}" r="4"/>').format(x(sweep.chosen), y(best))
    return Tried(label, colour, drawn + Markup("</svg>"), readable(sweep.chosen), _percent(best) if math.isfinite(best) else "–")


def _percent(share: float) -> str:
    return f"{100 * share:.1f}\u00a0%"
