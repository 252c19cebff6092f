"""Whether what a paper found holds here: told, or not to be told, with the numbers that it rests on."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from stopgrad.studies.measured import Measured
from stopgrad.studies.statistics import interval
from stopgrad.studies.study import Finding

Outcome = Literal["holds", "does not hold", "cannot be told"]


@dataclass(frozen=True)
class Difference:
    """How much more accurate a row is than another, at the same seeds."""

    points: float
    """Mean over the seeds that both have, points."""
    interval: tuple[float, float] | None
    """The 95 % interval of that mean; None of a single seed."""
    seeds: int


@dataclass(frozen=True)
class Verdict:
    """A finding, looked for here."""

    finding: str
    outcome: Outcome
    said: str
    """What it rests on."""


def difference(row: Sequence[Measured], other: Sequence[Measured], figure: str) -> Difference | None:
    """Return the paired difference of two rows: the same seed has the same initial backbone, order and views. None where no seed is common."""
    theirs = {m.seed: m.figures[figure] for m in other if figure in m.figures}
    points = [100 * (m.figures[figure] - theirs[m.seed]) for m in row if figure in m.figures and m.seed in theirs]
    return Difference(statistics.fmean(points), interval(points), len(points)) if points else None


def verdict(finding: Finding, row: Sequence[Measured], other: Sequence[Measured], random: dict[int, dict[str, float]], figure: str) -> Verdict:
    """Return whether ``finding`` holds of ``row``, by ``figure`` where it names none itself.

    ``other``: the row that it is compared with; ``random``: of the random initialisation, by seed.
    """
    if not row:
        return Verdict(finding.words, "cannot be told", "no run of it is finished")
    if finding.kind in ("above", "below", "near"):
        return _compared(finding, difference(row, other, finding.of or figure))
    if finding.kind == "diverges":
        return _counted(finding, [m.state == "diverged" for m in row], "diverged")
    return _collapse(finding, row, random)


def _compared(finding: Finding, found: Difference | None) -> Verdict:
    if found is None:
        return Verdict(finding.words, "cannot be told", "no seed of both was judged")
    if found.interval is None:
        return Verdict(finding.words, "cannot be told", f"{found.points:+.1f} points at one seed, which gives no interval")
    low, high = found.interval
    said = f"{found.points:+.1f} points, 95 % interval {low:+.1f} to {high:+.1f} over {found.seeds} paired seeds"
    margin = finding.points
    if finding.kind == "near":
        outcome: Outcome = "holds" if -margin <= low and high <= margin else "does not hold" if low > margin or high < -margin else "cannot be told"
        return Verdict(finding.words, outcome, said)
    low, high = (low, high) if finding.kind == "above" else (-high, -low)
    return Verdict(finding.words, "holds" if low > 0 else "does not hold" if high < 0 else "cannot be told", said)


def _counted(finding: Finding, seen: Sequence[bool], word: str, more: str = "") -> Verdict:
    outcome: Outcome = "holds" if all(seen) else "cannot be told" if any(seen) else "does not hold"
    return Verdict(finding.words, outcome, f"{sum(seen)} of {len(seen)} runs {word}{more}")


def _collapse(finding: Finding, row: Sequence[Measured], random: dict[int, dict[str, float]]) -> Verdict:
    """Judge by what the monitor says of the outputs. What neighbours say of the features stands beside it: these collapse later, or in part."""
    collapsed = [m.state == "collapsed" for m in row]
    if finding.kind == "collapses":
        return _counted(finding, collapsed, "collapsed", _evidence(row, random))
    sound = [m.state not in ("collapsed", "diverged") for m in row]
    return _counted(finding, sound, "did not collapse", _evidence(row, random))


def _evidence(row: Sequence[Measured], random: dict[int, dict[str, float]]) -> str:
    """Return the mean std × √d and the mean kNN beside that of the random initialisation, as far as they were measured."""
    stds = [m.std for m in row if m.std is not None]
    neighbours = [m.figures["knn"] for m in row if "knn" in m.figures]
    began = [random[m.seed]["knn"] for m in row if "knn" in random.get(m.seed, {})]
    said = f"; std x sqrt(d) {statistics.fmean(stds):.2f}" if stds else ""
    said += f", kNN {100 * statistics.fmean(neighbours):.1f}" if neighbours else ""
    return said + (f", at random initialisation {100 * statistics.fmean(began):.1f}" if neighbours and began else "")
