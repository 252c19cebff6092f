from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from stopgrad.config.protocols import Knn
from stopgrad.errors import UserError
from stopgrad.protocols.knn import knn, nearest
from stopgrad.protocols.scores import Score

CLASSES = 7


def drawn(bank: int, queries: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Features that lean towards their class, but not so far that neighbours agree."""
    g = torch.Generator().manual_seed(seed)
    centres = torch.randn(CLASSES, 16, generator=g)
    bank_labels, query_labels = torch.randint(CLASSES, (bank,), generator=g), torch.randint(CLASSES, (queries,), generator=g)
    x, q = (centres[labels] + 2 * torch.randn(len(labels), 16, generator=g) for labels in (bank_labels, query_labels))
    return x, bank_labels, q, query_labels


def by_loops(bank: Tensor, bank_labels: Tensor, queries: Tensor, query_labels: Tensor, k: int, temperature: float) -> tuple[float, float]:
    """The rule as it is written, in float64: (top1, top5)."""
    x, q = (a.double().numpy() / np.linalg.norm(a.double().numpy(), axis=1, keepdims=True) for a in (bank, queries))
    first = fifth = 0
    for query, true in zip(q, query_labels.tolist(), strict=True):
        cosines = [float(query @ row) for row in x]
        near = sorted(range(len(x)), key=lambda i: (-cosines[i], i))[:k]
        votes = [0.0] * CLASSES
        for i in near:
            votes[int(bank_labels[i])] += float(np.exp(cosines[i] / temperature))
        order = sorted(range(CLASSES), key=lambda c: (-votes[c], c))
        first += order[0] == true
        fifth += true in order[:5]
    return first / len(q), fifth / len(q)


@pytest.mark.parametrize(("k", "temperature"), list(product((1, 20, 150), (0.07, 0.1, 1.0))))
def test_equals_the_rule_in_loops(k: int, temperature: float) -> None:
    data = drawn(150, 80)
    found = knn(*data, CLASSES, Knn(k=k, temperature=temperature))
    assert 0.3 < found.top1 < 0.95  # or the comparison would compare nothing
    assert (found.top1, found.top5) == by_loops(*data, k, temperature)


@given(chunk=st.tuples(st.integers(1, 20), st.integers(1, 70)))
@settings(max_examples=25, deadline=None)
def test_the_score_does_not_depend_on_the_chunks(chunk: tuple[int, int]) -> None:
    data = drawn(60, 15)
    assert knn(*data, CLASSES, Knn(k=20), chunk) == knn(*data, CLASSES, Knn(k=20))


@pytest.mark.parametrize("chunk", [1, 3, 7, 100])
def test_equal_cosines_are_ordered_by_row(chunk: int) -> None:
    """Many duplicates, along the axes: all cosines are 1, 0 or -1 exactly, in whatever order the sums are made."""
    axes = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
    bank = axes.repeat(5, 1)
    cosines, rows = nearest(axes[:1], bank, 20, chunk)
    assert rows.tolist() == [[*range(0, 20, 4), *sorted([*range(1, 20, 4), *range(3, 20, 4)]), *range(2, 20, 4)]]
    assert cosines.tolist() == [[1.0] * 5 + [0.0] * 10 + [-1.0] * 5]


def test_the_nearest_are_sorted_and_right() -> None:
    bank, _, queries, _ = drawn(400, 9)
    bank, queries = torch.nn.functional.normalize(bank), torch.nn.functional.normalize(queries)
    cosines, rows = nearest(queries, bank, 50, 64)
    expected = (queries @ bank.T).topk(50)
    torch.testing.assert_close(cosines, expected.values)
    assert torch.equal(rows, expected.indices)


def test_every_feature_the_same_is_a_guess_and_always_the_same_one() -> None:
    """Collapse: the k first of the bank vote, whatever the query."""
    bank, queries = torch.ones(10, 4), torch.ones(6, 4)
    bank_labels = torch.tensor([1, 1, 2, 0, 0, 0, 0, 0, 0, 0])
    query_labels = torch.tensor([0, 1, 2, 1, 0, 1])
    assert knn(bank, bank_labels, queries, query_labels, 3, Knn(k=3), (2, 4)).top1 == 3 / 6


def test_features_of_zero_are_no_error() -> None:
    found = knn(torch.zeros(4, 3), torch.tensor([0, 1, 1, 1]), torch.zeros(2, 3), torch.tensor([0, 1]), 2, Knn(k=1))
    assert found == Score(0.5, None, 2, (1.0, 0.0), right=b"\x80")


def test_a_small_temperature_is_the_nearest_neighbour() -> None:
    data = drawn(150, 80)
    assert knn(*data, CLASSES, Knn(k=100, temperature=1e-4)).top1 == knn(*data, CLASSES, Knn(k=1)).top1


def test_chance_when_labels_mean_nothing() -> None:
    bank, labels, queries, query_labels = drawn(2000, 500)
    shuffled = labels[torch.randperm(2000, generator=torch.Generator().manual_seed(1))]
    low, high = knn(bank, shuffled, queries, query_labels, CLASSES, Knn(k=50)).interval()
    assert low < 1 / CLASSES < high


@pytest.mark.parametrize(
    ("k", "said"), [(0, "k is 0; take at least one"), (151, "k is 151, but there are 150 labelled training images; take a k from 1 to 150")]
)
def test_a_k_that_the_bank_cannot_serve_is_refused(k: int, said: str) -> None:
    with pytest.raises(UserError, match=said):
        knn(*drawn(150, 5), CLASSES, Knn(k=k))


def test_a_temperature_of_zero_is_refused() -> None:
    with pytest.raises(UserError, match="above 0"):
        knn(*drawn(150, 5), CLASSES, Knn(k=5, temperature=0.0))
