import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from stopgrad.protocols.scores import Score, ranks, score


def test_ranks_count_what_is_before_the_true_class() -> None:
    votes = torch.tensor([[3.0, 1.0, 2.0], [3.0, 1.0, 2.0], [3.0, 1.0, 2.0]])
    assert ranks(votes, torch.tensor([0, 1, 2])).tolist() == [0, 2, 1]


def test_of_equal_votes_the_lower_class_wins() -> None:
    votes = torch.zeros(4, 4)
    assert ranks(votes, torch.arange(4)).tolist() == [0, 1, 2, 3]


def test_ranks_refuse_votes_that_are_not_finite() -> None:
    with pytest.raises(AssertionError, match="not finite"):
        ranks(torch.tensor([[float("nan"), 1.0]]), torch.tensor([0]))


def test_accuracies_by_hand() -> None:
    places = torch.tensor([0, 0, 3, 5, 0, 4])
    labels = torch.tensor([0, 0, 0, 2, 2, 6])
    found = score(places, labels, 8)
    assert found.top1 == 3 / 6
    assert found.top5 == 5 / 6
    assert found.n == 6
    assert found.per_class == (2 / 3, None, 1 / 2, None, None, None, 0.0, None)


def test_top5_of_five_classes_says_nothing_and_is_left_out() -> None:
    assert score(torch.zeros(2, dtype=torch.int64), torch.tensor([0, 1]), 5).top5 is None


@pytest.mark.parametrize(("right", "n"), [(0, 10), (8, 10), (20, 20), (9080, 10000)])
def test_the_interval_is_scipys(right: int, n: int) -> None:
    expected = binomtest(right, n).proportion_ci(0.95, method="wilson")
    assert Score(right / n, None, n, ()).interval() == pytest.approx((expected.low, expected.high), abs=1e-6)


@given(n=st.integers(1, 1000), share=st.floats(0, 1))
def test_interval_ends_solve_wilsons_equation(n: int, share: float) -> None:
    """Its ends are the rates p from which what was seen lies 1.96 standard errors away."""
    seen = round(share * n) / n
    for end in Score(seen, None, n, ()).interval():
        assert n * (seen - end) ** 2 == pytest.approx(1.959964**2 * end * (1 - end), abs=1e-6 * n)
