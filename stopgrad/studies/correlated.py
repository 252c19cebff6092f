"""Which label-free score tells a good row of a study from a bad one: rank correlations with the accuracy, over rows.

The seeds of a row are no runs of their own here: they differ far less than rows do, and counting each would make an interval too narrow.
"""

import math
import statistics
from collections.abc import Mapping, Sequence

from stopgrad.report.records import Record
from stopgrad.studies.measured import MONITORED, Measured
from stopgrad.studies.statistics import Z95, spearman

ALPHA = "alpha-ReQ"
"""Best where it is 1 (Agrawal et al., NeurIPS 2022): it is taken by its distance from there."""
LOWER_IS_BETTER = ("alignment", "uniformity", ALPHA)
FEWEST = 5
"""Rows below which no interval is given."""


def correlations(rows: Mapping[str, Sequence[Measured]], figure: str) -> list[Record]:
    """Return, the strongest first, the rank correlation of every label-free score with ``figure`` over the rows that have both, means of seeds."""
    judged = [[one for one in runs if figure in one.told] for runs in rows.values()]
    names = dict.fromkeys(name for runs in judged for one in runs for name in one.label_free)
    found = []
    for name in names:
        pairs = [_means(held, name, figure) for runs in judged if (held := [one for one in runs if name in one.label_free])]
        rho = spearman([score for score, _ in pairs], [accuracy for _, accuracy in pairs])
        if rho is None:
            continue
        expected = -1 if name.split(" of ")[0] in LOWER_IS_BETTER else 1
        found.append(
            {
                "score": f"{name}, distance from 1" if name == ALPHA else name,
                "of": "a batch of outputs" if name in MONITORED else "features",
                "expected": expected,
                "rho": rho,
                "interval": _interval(rho, len(pairs)),
                "rows": len(pairs),
            }
        )
    return sorted(found, key=lambda record: -record["expected"] * record["rho"])


def _means(runs: Sequence[Measured], score: str, figure: str) -> tuple[float, float]:
    values = [one.label_free[score] for one in runs]
    taken = [abs(value - 1) for value in values] if score == ALPHA else values
    return statistics.fmean(taken), statistics.fmean(one.figures[figure] for one in runs)


def _interval(rho: float, rows: int) -> tuple[float, float] | None:
    """Return the 95 % interval of a rank correlation over so many rows; None of few, and of a perfect one.

    Bonett & Wright 2000, Eq. 3: Fisher's z, variance (1 + ρ²/2)/(n − 3).
    """
    if rows < FEWEST or abs(rho) > 1 - 1e-9:
        return None
    half = Z95 * math.sqrt((1 + rho * rho / 2) / (rows - 3))
    return math.tanh(math.atanh(rho) - half), math.tanh(math.atanh(rho) + half)
