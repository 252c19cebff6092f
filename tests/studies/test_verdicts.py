"""Findings looked for in constructed numbers: they hold, do not, or cannot be told."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from stopgrad.studies.measured import Measured
from stopgrad.studies.study import COLLAPSES, DIVERGES, LEARNS, above, below, near
from stopgrad.studies.verdicts import Verdict, difference, verdict


def row(*top1: float | None, state: str = "healthy", states: Sequence[str] = (), std: float = 0.97) -> list[Measured]:
    told = states or [state] * len(top1)
    return [
        Measured(seed, s, {} if v is None else {"lbfgs": v, "knn": v - 0.1}, {}, 2.5, 2000, std, {})
        for seed, (v, s) in enumerate(zip(top1, told, strict=True))
    ]


BASE = row(0.80, 0.82, 0.81)


def judged(finding, own: list[Measured], other: list[Measured] = BASE) -> Verdict:  # type: ignore[no-untyped-def]
    return verdict(finding, own, other, {0: {"knn": 0.47}}, "lbfgs")


def test_differences_are_paired_by_seed() -> None:
    found = difference(row(0.70, 0.71, 0.72), BASE, "lbfgs")  # -10, -11, -9
    assert found is not None
    assert found.points == pytest.approx(-10)
    assert found.interval == pytest.approx((-10 - 4.303 / 3**0.5, -10 + 4.303 / 3**0.5))
    assert found.seeds == 3
    assert difference(row(0.7)[:0], BASE, "lbfgs") is None
    shifted = difference([m for m in row(0.70, 0.71, 0.72) if m.seed == 2], BASE, "lbfgs")
    assert shifted is not None
    assert (shifted.points, shifted.interval) == (pytest.approx(-9), None)


def test_orderings() -> None:
    lower, noisy = row(0.70, 0.71, 0.72), row(0.70, 0.90, 0.72)
    assert judged(below("base"), lower).outcome == "holds"
    assert judged(above("base"), lower).outcome == "does not hold"
    assert judged(below("base"), noisy).outcome == "cannot be told"
    assert judged(above("base"), noisy).outcome == "cannot be told"
    assert judged(below("base"), lower).said == "-10.0 points, 95 % interval -12.5 to -7.5 over 3 paired seeds"
    one = judged(below("base"), row(0.5))
    assert (one.outcome, one.said) == ("cannot be told", "-30.0 points at one seed, which gives no interval")


def test_as_good_as() -> None:
    assert judged(near("base", 3), row(0.801, 0.822, 0.81)).outcome == "holds"
    assert judged(near("base", 3), row(0.70, 0.71, 0.72)).outcome == "does not hold"
    assert judged(near("base", 0.1), row(0.80, 0.83, 0.80)).outcome == "cannot be told"
    assert judged(near("base", 3), row(0.70, 0.92, 0.81)).outcome == "cannot be told"


def test_collapse_is_told_by_the_outputs_and_counted_over_seeds() -> None:
    gone = row(0.5, 0.5, state="collapsed", std=0.18)
    assert judged(COLLAPSES, gone).outcome == "holds"
    assert judged(LEARNS, gone).outcome == "does not hold"
    assert judged(COLLAPSES, gone).said == "2 of 2 runs collapsed; std x sqrt(d) 0.18, kNN 40.0, at random initialisation 47.0"
    assert judged(COLLAPSES, BASE).outcome == "does not hold"
    assert judged(LEARNS, row(0.3, 0.3, state="unlearned")).outcome == "holds", "not to learn is no collapse"
    mixed = row(0.5, 0.8, 0.8, states=["collapsed", "healthy", "healthy"])
    assert {judged(f, mixed).outcome for f in (COLLAPSES, LEARNS)} == {"cannot be told"}


def test_divergence_has_no_accuracy() -> None:
    lost = row(None, None, state="diverged")
    assert judged(DIVERGES, lost).outcome == "holds"
    assert judged(DIVERGES, BASE).outcome == "does not hold"
    assert judged(LEARNS, lost).outcome == "does not hold"
    assert judged(COLLAPSES, lost).outcome == "does not hold"
    assert judged(below("base"), lost).said == "no seed of both was judged"


def test_another_figure_than_the_first() -> None:
    few = [replace(m, figures=m.figures | {"1 %": m.figures["lbfgs"] - 0.3 * i}) for i, m in enumerate(BASE)]
    finding = above("base", "1 %")
    assert finding.words == "above base (1 %)"
    assert (
        verdict(finding, few, [replace(m, figures={"1 %": 0.1}) for m in few], {}, "lbfgs").said
        == "+41.0 points, 95 % interval -32.3 to +114.3 over 3 paired seeds"
    )


def test_nothing_is_said_of_a_row_that_was_not_made() -> None:
    assert judged(LEARNS, []) == Verdict("does not collapse", "cannot be told", "no run of it is finished")
