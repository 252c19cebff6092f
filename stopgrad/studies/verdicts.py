"""Whether what a paper found holds here: told, or not to be told, with the numbers that it rests on."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from stopgrad.studies.measured import Measured
from stopgrad.studies.paired import Difference, difference
from stopgrad.studies.study import Finding

Outcome = Literal["holds", "does not hold", "cannot be told"]
UNTOLD: Outcome = "cannot be told"


@dataclass(frozen=True)
class Verdict:
    """A finding, looked for here."""

    finding: str
    outcome: Outcome
    said: str
    """What it rests on."""
    difference: Difference | None = None
    """above, below, near: that to the other row, where both have figures."""


def verdict(
    finding: Finding, row: Sequence[Measured], other: Sequence[Measured], random: dict[int, dict[str, float]], figure: str, seeds: int
) -> Verdict:
    """Return whether ``finding`` holds of ``row``, by ``figure`` where it names none itself.

    ``other``: the row that it is compared with; ``random``: of the random initialisation, by seed; ``seeds``: how many were asked for. One
    that is not done leaves every finding untold.
    """
    if not row:
        return Verdict(finding.words, UNTOLD, "no run of it is finished")
    if finding.kind in ("above", "below", "near"):
        return _compared(finding, row, other, finding.of or figure, seeds)
    if finding.kind == "diverges":
        return _counted(finding, [one.state == "diverged" for one in row], "diverged", seeds)
    return _collapse(finding, row, random, seeds)


def _compared(finding: Finding, row: Sequence[Measured], other: Sequence[Measured], figure: str, seeds: int) -> Verdict:
    """Compare two rows by their interval. Of a seed at which one of them diverged that one is the worse, by no number of points."""
    states, others = ({one.seed: one.state for one in rows} for rows in (row, other))
    both = states.keys() & others.keys()
    lost = sum(states[seed] == "diverged" != others[seed] for seed in both)
    won = sum(others[seed] == "diverged" != states[seed] for seed in both)
    found = difference(row, other, figure)
    counted = lost + won + (found.seeds if found else 0)
    said = "; ".join(part for part in (_rests_on(found), _diverged(lost, "this row", seeds), _diverged(won, "the other", seeds)) if part)
    if counted < seeds:
        return Verdict(finding.words, UNTOLD, f"{counted} of {seeds} seeds can be compared" + (f"; {said}" if said else ""), found)
    signs: set[int | None] = {-1} if lost else set()
    signs |= {1} if won else set()
    if found is not None:
        signs |= {_side(found.interval, finding)}
    wanted = {"above": 1, "below": -1, "near": 0}[finding.kind]
    outcome: Outcome = UNTOLD if len(signs) > 1 or None in signs else "holds" if signs == {wanted} else "does not hold"
    return Verdict(finding.words, outcome, said, found)


def _side(interval: tuple[float, float] | None, finding: Finding) -> int | None:
    """Return on which side of the other row one lies, 0 within the margin of ``finding``; None where the interval leaves that open."""
    if interval is None:
        return None
    (low, high), margin = interval, finding.points
    if low > margin or high < -margin:
        return 1 if low > margin else -1
    return 0 if finding.kind == "near" and -margin <= low and high <= margin else None


def _rests_on(found: Difference | None) -> str:
    if found is None:
        return ""
    if found.interval is None:
        return f"{found.points:+.1f} points at one seed, which gives no interval"
    low, high = found.interval
    images = "and test images" if found.images_told else "on these test images"
    return f"{found.points:+.1f} points, 95 % interval {low:+.1f} to {high:+.1f} over {found.seeds} paired seeds {images}"


def _diverged(count: int, which: str, seeds: int) -> str:
    return f"{which} diverged at {count} of {seeds} seeds" if count else ""


def _counted(finding: Finding, seen: Sequence[bool], word: str, seeds: int, more: str = "") -> Verdict:
    undone = seeds - len(seen)
    outcome: Outcome = UNTOLD if undone or (any(seen) and not all(seen)) else "holds" if all(seen) else "does not hold"
    left = f", {undone} {'is' if undone == 1 else 'are'} not done" if undone else ""
    return Verdict(finding.words, outcome, f"{sum(seen)} of {seeds} runs {word}{left}{more}")


def _collapse(finding: Finding, row: Sequence[Measured], random: dict[int, dict[str, float]], seeds: int) -> Verdict:
    """Judge by what the monitor says of the outputs. What neighbours say of the features stands beside it: these collapse later, or in part."""
    if finding.kind == "collapses":
        return _counted(finding, [one.state == "collapsed" for one in row], "collapsed", seeds, _evidence(row, random))
    sound = [one.state not in ("collapsed", "diverged") for one in row]
    return _counted(finding, sound, "did not collapse", seeds, _evidence(row, random))


def _evidence(row: Sequence[Measured], random: dict[int, dict[str, float]]) -> str:
    """Return the mean std × √d and the mean kNN beside that of the random initialisation, as far as they were measured."""
    stds = [one.std for one in row if one.std is not None]
    neighbours = [one.figures["knn"] for one in row if "knn" in one.figures]
    began = [random[one.seed]["knn"] for one in row if "knn" in random.get(one.seed, {})]
    said = f"; std x sqrt(d) {statistics.fmean(stds):.2f}" if stds else ""
    said += f", kNN {100 * statistics.fmean(neighbours):.1f}" if neighbours else ""
    return said + (f", at random initialisation {100 * statistics.fmean(began):.1f}" if neighbours and began else "")
