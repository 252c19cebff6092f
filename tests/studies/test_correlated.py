"""Which score to trust: rank correlations over rows, with their intervals."""

from dataclasses import replace

import numpy as np
import pytest

from stopgrad.studies.correlated import correlations
from stopgrad.studies.measured import Measured
from tests.studies.made import row


def scored(top1: list[float], **scores: float) -> list[Measured]:
    return [replace(one, label_free={name.replace("_", "-"): value + 0.001 * one.seed for name, value in scores.items()}) for one in row(*top1)]


def test_correlations_are_over_rows_and_not_over_their_seeds() -> None:
    rows = {str(i): scored([0.5 + i / 100, 0.5 + i / 100], rank=float(i), std=float(i % 3)) for i in range(6)}
    rows |= {"diverged": row(None, None, state="diverged"), "unscored": row(0.9)}
    found = {record["score"]: record for record in correlations(rows, "lbfgs")}
    assert (found["rank"]["rows"], found["rank"]["rho"], found["rank"]["interval"]) == (6, pytest.approx(1), None)
    assert found["rank"]["of"] == "a batch of outputs"
    rho = found["std"]["rho"]
    low, high = found["std"]["interval"]
    half = 1.959964 * ((1 + rho**2 / 2) / 3) ** 0.5
    assert (np.arctanh(low), np.arctanh(high)) == pytest.approx((np.arctanh(rho) - half, np.arctanh(rho) + half))
    assert correlations({name: rows[name] for name in ("1", "2", "3", "4")}, "lbfgs")[0]["interval"] is None


def test_what_should_be_low_is_expected_to_be_and_alpha_counts_by_its_distance_from_1() -> None:
    values = {"good": (0.9, 1.1, -3.0), "fair": (0.8, 0.7, -2.0), "bad": (0.7, 2.0, -1.0), "worst": (0.6, 0.2, 0.0), "gone": (0.5, 4.0, 0.5)}
    rows = {name: scored([top1], alpha_ReQ=alpha, **{"uniformity of features": u}) for name, (top1, alpha, u) in values.items()}
    found = {record["score"]: record for record in correlations(rows, "lbfgs")}
    # distances .1 .3 1 .8 3: ranks 1 2 4 3 5 against 1 2 3 4 5
    assert (found["alpha-ReQ, distance from 1"]["expected"], found["alpha-ReQ, distance from 1"]["rho"]) == (-1, pytest.approx(-0.9))
    assert (found["uniformity of features"]["expected"], found["uniformity of features"]["rho"]) == (-1, pytest.approx(-1))
    assert list(found) == ["uniformity of features", "alpha-ReQ, distance from 1"], "the most useful first"
