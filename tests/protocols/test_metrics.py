import math

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score
from torch import Tensor

from stopgrad.config.transfer import Metric
from stopgrad.errors import UserError
from stopgrad.protocols.metrics import average_precision, by, measure, metric_of, precisions, scored
from stopgrad.protocols.scores import Score, ranks, score


def slow_precision(votes: list[float], shown: list[bool], metric: Metric) -> float:
    """The devkit's definitions in loops: a threshold at every vote, the best precision at any recall not below."""
    points = []
    for threshold in sorted(set(votes), reverse=True):
        found = [s for v, s in zip(votes, shown, strict=True) if v >= threshold]
        points.append((sum(found), sum(found) / len(found)))  # images found of the class, precision
    total = sum(shown)
    if metric == "map11":
        return sum(max((p for right, p in points if 10 * right >= tenth * total), default=0.0) for tenth in range(11)) / 11
    return sum(max(p for right, p in points if right >= wanted) for wanted in range(1, total + 1)) / total


def drawn(n: int, classes: int, seed: int, steps: int = 10) -> tuple[Tensor, Tensor]:
    """Votes with ties, and what is shown: a fifth of it, and a tenth not to be counted."""
    rng = np.random.default_rng(seed)
    votes = torch.from_numpy(rng.integers(0, steps, (n, classes)) / 4.0)
    return votes, torch.from_numpy(rng.choice(np.array([1, -1, 0], dtype=np.int8), p=[0.2, 0.7, 0.1], size=(n, classes)))


@pytest.mark.parametrize("metric", ["map11", "map"])
@pytest.mark.parametrize("seed", range(8))
def test_precisions_are_those_in_loops(metric: Metric, seed: int) -> None:
    votes, presence = drawn(40, 5, seed)
    found = precisions(votes, presence, metric)
    for k, ap in enumerate(found):
        counted = presence[:, k] != 0
        assert ap == pytest.approx(slow_precision(votes[counted, k].tolist(), (presence[counted, k] == 1).tolist(), metric), abs=1e-12)


def test_a_case_by_hand() -> None:
    """In the order of their votes: shown, not, shown, not, not, shown. Precisions 1, 2/3 and 1/2 at recalls 1/3, 2/3 and 1."""
    votes, presence = torch.tensor([[6.0], [5], [4], [3], [2], [1]]), torch.tensor([[1], [-1], [1], [-1], [-1], [1]], dtype=torch.int8)
    assert precisions(votes, presence, "map") == [pytest.approx((1 + 2 / 3 + 1 / 2) / 3)]
    assert precisions(votes, presence, "map11") == [pytest.approx((4 * 1 + 3 * 2 / 3 + 4 * 1 / 2) / 11)]


def test_three_of_ten_are_three_tenths() -> None:
    """0.1 · 3 in floating point is above 0.3: a recall that is just reached must count."""
    votes, presence = torch.arange(20.0, 0, -1)[:, None], torch.tensor([1] * 3 + [-1] * 10 + [1] * 7, dtype=torch.int8)[:, None]
    assert precisions(votes, presence, "map11") == [pytest.approx((4 * 1 + 7 * 10 / 20) / 11)]


def test_difficult_ones_change_nothing() -> None:
    votes, presence = drawn(60, 3, 0, 1000)
    kept = presence[:, 0] != 0
    with_them, without = precisions(votes, presence, "map")[0], precisions(votes[kept][:, :1], presence[kept][:, :1], "map")[0]
    assert with_them == without


def test_the_order_of_equal_votes_decides_nothing() -> None:
    votes, presence = drawn(50, 4, 1, 3)
    turned = torch.arange(49, -1, -1)
    assert precisions(votes, presence, "map") == precisions(votes[turned], presence[turned], "map")
    shown = presence[:, 0] == 1
    assert precisions(torch.zeros(50, 1), torch.where(shown, 1, -1)[:, None], "map") == [pytest.approx(int(shown.sum()) / 50)]


def test_a_draw_is_the_images_written_out() -> None:
    votes, presence = drawn(30, 1, 2)
    shown, votes = presence[:, 0] == 1, votes[:, 0]
    times = torch.randint(0, 4, (5, 30), generator=torch.Generator().manual_seed(0)).double()
    for metric in ("map11", "map"):
        found = average_precision(votes, shown, times, metric)  # type: ignore[arg-type]
        for one, row in zip(found.tolist(), times.long(), strict=True):
            many = votes.repeat_interleave(row).tolist(), shown.repeat_interleave(row).tolist()
            assert one == pytest.approx(slow_precision(*many, metric), abs=1e-12)  # type: ignore[arg-type]


@pytest.mark.parametrize("metric", ["map11", "map"])
def test_the_mean_and_its_interval(metric: Metric) -> None:
    g = torch.Generator().manual_seed(3)
    presence = torch.where(torch.rand(400, 3, generator=g) < 0.3, 1, -1).to(torch.int8)
    votes = presence + 1.5 * torch.randn(400, 3, generator=g)
    found = scored(votes, presence, 3, metric)
    low, high = found.interval()
    assert found.value == pytest.approx(np.mean([ap for ap in found.per_class if ap is not None])) == measure(votes, presence, 3, metric)
    assert low < found.value < high
    assert 0.04 < high - low < 0.12
    assert found.interval() == scored(votes, presence, 3, metric).interval()
    assert (found.metric, found.top1, found.top5, found.n) == (metric, None, None, 400)


def test_a_class_that_no_test_image_shows_is_left_out() -> None:
    votes, presence = drawn(50, 3, 4)
    presence[:, 1] = -1
    found = scored(votes, presence, 3, "map")
    assert found.per_class[1] is None
    assert found.value == pytest.approx((found.per_class[0] + found.per_class[2]) / 2)  # type: ignore[operator]
    with pytest.raises(UserError, match="map: no class has both a test image that shows it"):
        scored(votes, torch.full_like(presence, -1), 3, "map")


def test_mean_per_class_is_scikit_learns() -> None:
    g = torch.Generator().manual_seed(0)
    labels, votes = torch.cat((torch.arange(4), torch.randint(0, 2, (300,), generator=g))), torch.randn(304, 5, generator=g)
    votes[:, 4] = -9  # nobody's, and never said
    found = scored(votes, labels, 5, "mean_per_class")
    assert found.value == pytest.approx(balanced_accuracy_score(labels.numpy(), votes.argmax(1).numpy()))
    assert found.top1 == score(ranks(votes, labels), labels, 5).top1 != found.value
    assert found.per_class[4] is None


def test_the_bootstrap_of_a_mean_per_class_has_its_closed_forms_width() -> None:
    there, right = np.array([400, 100]), np.array([300, 80])
    labels = torch.arange(2).repeat_interleave(torch.from_numpy(there))
    plain = Score(top1=0.76, top5=None, n=500, per_class=(0.75, 0.8))
    low, high = by(plain, "mean_per_class", labels).interval()
    variance = sum(r / t * (1 - r / t) / t for r, t in zip(right, there, strict=True)) / 4
    assert (low + high) / 2 == pytest.approx(0.775, abs=0.004)
    assert high - low == pytest.approx(2 * 1.96 * math.sqrt(variance), rel=0.08)
    assert by(plain, "top1", labels) is plain


def test_metrics_and_labels_must_be_of_one_kind() -> None:
    assert metric_of(None, True, "svm") == "map"
    assert metric_of(None, False, "svm") == "top1"
    assert metric_of("map11", True, "svm") == "map11"
    with pytest.raises(UserError, match="svm: top1 is no metric of images that may show several classes each; take map11 or map"):
        metric_of("top1", True, "svm")
    with pytest.raises(UserError, match="knn: map is no metric of images that have one class each; take top1 or mean_per_class"):
        metric_of("map", False, "knn")


def test_an_interval_holds_its_value_even_of_classes_of_one_image() -> None:
    """Where the basic bootstrap alone would leave it out: draws without the image have no precision of its class."""
    presence = torch.full((40, 12), -1, dtype=torch.int8)
    presence[torch.arange(12), torch.arange(12)] = 1
    for seed in range(5):
        votes = torch.randn(40, 12, generator=torch.Generator().manual_seed(seed))
        found = scored(votes, presence, 12, "map")
        assert found.bounds is not None
        assert found.bounds[0] <= found.value <= found.bounds[1]
