"""Findings looked for in constructed numbers: they hold, do not, or cannot be told."""

from dataclasses import replace

import pytest

from stopgrad.studies.measured import Measured
from stopgrad.studies.study import COLLAPSES, DIVERGES, NO_COLLAPSE, Finding, above, below, near
from stopgrad.studies.verdicts import Verdict, verdict
from tests.studies.made import row, told

BASE = row(0.80, 0.82, 0.81)
LOST = row(None, None, None, state="diverged")


def judged(finding: Finding, own: list[Measured], other: list[Measured] = BASE, seeds: int = 0) -> Verdict:
    return verdict(finding, own, other, {0: {"knn": 0.47}}, "lbfgs", seeds or len(own))


def test_orderings() -> None:
    lower, noisy = row(0.70, 0.71, 0.72), row(0.70, 0.90, 0.72)
    assert judged(below("base"), lower).outcome == "holds"
    assert judged(above("base"), lower).outcome == "does not hold"
    assert judged(below("base"), noisy).outcome == "cannot be told"
    assert judged(above("base"), noisy).outcome == "cannot be told"
    assert judged(below("base"), lower).said == "-10.0 points, 95 % interval -12.5 to -7.5 over 3 paired seeds on these test images"
    one = judged(below("base"), row(0.5))
    assert (one.outcome, one.said) == ("cannot be told", "-30.0 points at one seed, which gives no interval")


def test_seeds_that_agree_to_the_digit_are_no_proof_beyond_one_test_image() -> None:
    same = row(0.8004, 0.8204, 0.8104)  # of 2000 test images
    assert judged(above("base"), same).outcome == "cannot be told"
    assert judged(above("base"), row(0.801, 0.821, 0.811)).outcome == "holds", "two images, at each of three seeds"


def test_as_good_as() -> None:
    assert judged(near("base", 3), row(0.801, 0.822, 0.81)).outcome == "holds"
    assert judged(near("base", 3), row(0.70, 0.71, 0.72)).outcome == "does not hold"
    assert judged(near("base", 0.1), row(0.80, 0.83, 0.80)).outcome == "cannot be told"
    assert judged(near("base", 3), row(0.70, 0.92, 0.81)).outcome == "cannot be told"


def test_collapse_is_told_by_the_outputs_and_counted_over_seeds() -> None:
    gone = row(0.5, 0.5, state="collapsed", std=0.18)
    assert judged(COLLAPSES, gone).outcome == "holds"
    assert judged(NO_COLLAPSE, gone).outcome == "does not hold"
    assert judged(COLLAPSES, gone).said == "2 of 2 runs collapsed; std x sqrt(d) 0.18, kNN 40.0, at random initialisation 47.0"
    assert judged(COLLAPSES, BASE).outcome == "does not hold"
    assert judged(NO_COLLAPSE, row(0.3, 0.3, state="unlearned")).outcome == "holds", "not to learn is no collapse"
    mixed = row(0.5, 0.8, 0.8, states=["collapsed", "healthy", "healthy"])
    assert {judged(f, mixed).outcome for f in (COLLAPSES, NO_COLLAPSE)} == {"cannot be told"}


@pytest.mark.parametrize("finding", [COLLAPSES, NO_COLLAPSE, DIVERGES])
def test_a_seed_that_is_not_done_leaves_what_is_counted_untold(finding: Finding) -> None:
    for state in ("collapsed", "healthy", "diverged"):
        found = judged(finding, row(0.5, 0.5, state=state), seeds=3)
        assert found.outcome == "cannot be told"
        assert "of 3 runs" in found.said
        assert ", 1 is not done" in found.said


@pytest.mark.parametrize("finding", [above("base"), below("base"), near("base")])
def test_a_seed_that_is_not_done_leaves_an_ordering_untold(finding: Finding) -> None:
    for own, other in ((row(0.7, 0.71), BASE), (row(0.7, 0.71, 0.72), BASE[:2])):
        found = judged(finding, own, other, seeds=3)
        assert found.outcome == "cannot be told"
        assert found.said.startswith("2 of 3 seeds can be compared; -10.5 points, 95 % interval -16.9 to -4.1 over 2 paired seeds")
    assert judged(finding, row(0.7), [], seeds=1).said == "0 of 1 seeds can be compared"


def test_a_row_that_diverged_is_below_and_not_above() -> None:
    assert [judged(f("base"), LOST).outcome for f in (below, above, near)] == ["holds", "does not hold", "does not hold"]
    assert judged(below("base"), LOST).said == "this row diverged at 3 of 3 seeds"
    assert [judged(f("lost"), BASE, LOST).outcome for f in (below, above, near)] == ["does not hold", "holds", "does not hold"]
    assert judged(below("lost"), BASE, LOST).said == "the other diverged at 3 of 3 seeds"
    both = judged(below("lost"), LOST, LOST)
    assert (both.outcome, both.said) == ("cannot be told", "0 of 3 seeds can be compared")


def test_a_seed_that_diverged_counts_beside_those_that_did_not() -> None:
    states = ["healthy", "healthy", "diverged"]
    worse, better, even = (row(*values, None, states=states) for values in ((0.70, 0.72), (0.90, 0.92), (0.80, 0.82)))
    assert judged(below("base"), worse).outcome == "holds"
    assert judged(below("base"), worse).said.endswith("over 2 paired seeds on these test images; this row diverged at 1 of 3 seeds")
    assert judged(above("base"), worse).outcome == "does not hold"
    assert {judged(f("base"), better).outcome for f in (above, below)} == {"cannot be told"}, "better but where it diverged"
    assert judged(near("base"), even).outcome == "cannot be told"
    one = row(0.70, None, None, states=["healthy", "diverged", "diverged"])
    assert judged(below("base"), one).outcome == "cannot be told", "of one seed there is no interval"


def test_divergence_has_no_accuracy() -> None:
    lost = row(None, None, state="diverged")
    assert judged(DIVERGES, lost).outcome == "holds"
    assert judged(DIVERGES, BASE).outcome == "does not hold"
    assert judged(NO_COLLAPSE, lost).outcome == "does not hold"
    assert judged(COLLAPSES, lost).outcome == "does not hold"


def test_another_figure_than_the_first() -> None:
    few = [replace(one, told=one.told | {"1 %": told(one.figures["lbfgs"] - 0.3 * i)}) for i, one in enumerate(BASE)]
    finding = above("base", "1 %")
    assert finding.words == "above base (1 %)"
    found = judged(finding, few, [replace(one, told={"1 %": told(0.1)}) for one in few])
    assert found.said == "+41.0 points, 95 % interval -32.3 to +114.3 over 3 paired seeds on these test images"


def test_nothing_is_said_of_a_row_that_was_not_made() -> None:
    assert judged(NO_COLLAPSE, [], seeds=3) == Verdict("does not collapse", "cannot be told", "no run of it is finished")
