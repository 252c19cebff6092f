import warnings

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score
from sklearn.svm import LinearSVC
from torch import Tensor

from stopgrad.config.transfer import SVM, Svm
from stopgrad.errors import UserError
from stopgrad.protocols.metrics import measure, precisions
from stopgrad.protocols.svm import _Fitting, _folds, extended, objective, train

ALL = torch.ones(1, 1, dtype=torch.bool)


def quiet(line: str) -> None:
    """Nobody listens."""


def drawn(n: int, seed: int = 0, features: int = 32, classes: int = 4) -> tuple[Tensor, Tensor]:
    """Correlated features of images that show any of the classes, one in ten not to be counted."""
    g = torch.Generator().manual_seed(seed)
    shown = torch.rand(n, classes, generator=g) < 0.3
    mix = torch.linalg.qr(torch.randn(features, features, generator=torch.Generator().manual_seed(99))).Q * torch.logspace(0, -1.5, features)
    centres = 1.5 * torch.randn(classes, features, generator=torch.Generator().manual_seed(98))
    x = (shown.float() @ centres + 2 * torch.randn(n, features, generator=g)) @ mix.T + 1
    presence = torch.where(shown, 1, -1).to(torch.int8)
    presence[torch.rand(n, classes, generator=g) < 0.1] = 0
    return x, presence


def liblinear(x: Tensor, signs: Tensor, c: float, positive: float) -> LinearSVC:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        machine = LinearSVC(C=c, class_weight={1: positive, -1: 1.0}, intercept_scaling=1.0, dual=False, tol=1e-10, max_iter=10**5)
        return machine.fit(x.numpy(), signs.numpy())


@pytest.mark.parametrize("positive", [1.0, 2.0])
@pytest.mark.parametrize("c", [0.01, 1.0, 20.0, 1000.0])
def test_a_fit_is_liblinears(c: float, positive: float) -> None:
    x, presence = drawn(300)
    full = extended(x)
    fitting = _Fitting(full, presence.double(), Svm(positive_weight=positive))
    mine = fitting.weights_of(fitting.fit(fitting.path(c), ALL.expand(300, 1), None))
    assert fitting.unfinished == 0
    for k in range(4):
        counted = presence[:, k] != 0
        theirs = liblinear(full[counted, :-1], presence[counted, k], c, positive)
        w = torch.from_numpy(np.concatenate((theirs.coef_[0], theirs.intercept_)))
        both = [objective(full, presence[:, k : k + 1].double(), fitting.weights[:, k : k + 1], v[None], 1 / (c * 300))[0] for v in (mine[k], w)]
        assert both[0] == pytest.approx(both[1], rel=1e-6)
        torch.testing.assert_close(full @ mine[k], torch.from_numpy(theirs.decision_function(full[:, :-1].numpy())), rtol=0, atol=1e-3)


def test_fewer_images_than_features() -> None:
    """Searched among sums of the images, where liblinear's minimum lies too."""
    x, presence = drawn(25, features=40)
    found = train(x, presence, 4, Svm(costs=(5.0,)), "map", quiet)
    for k in range(4):
        counted = presence[:, k] != 0
        theirs = liblinear(extended(x)[counted, :-1], presence[counted, k], 5.0, 1.0)
        torch.testing.assert_close(
            found.decisions(x)[:, k], torch.from_numpy(theirs.decision_function(extended(x)[:, :-1].numpy())), rtol=0, atol=1e-3
        )
    assert found.weight.shape == (4, 41)


def test_the_objective_in_loops_and_its_gradient() -> None:
    x, presence = drawn(20, features=3)
    full, signs = extended(x), presence.double()
    weights = torch.where(signs > 0, 2.0, 1.0) * signs.abs()
    w = torch.randn(4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    c, slow = 3.0, torch.zeros((), dtype=torch.float64)
    for k in range(4):
        slow = slow + w[k] @ w[k] / 2
        for i in range(20):
            if presence[i, k]:
                slow = slow + c * weights[i, k] * torch.relu(1 - signs[i, k] * (w[k] @ full[i])) ** 2
    slow.backward()  # type: ignore[no-untyped-call]
    value, slope = objective(full, signs, weights, w.detach(), 1 / (c * 20))
    assert value * c * 20 == pytest.approx(float(slow.detach()), rel=1e-12)
    torch.testing.assert_close(slope * c * 20, w.grad)


def test_costs_are_those_of_a_cross_validation_in_loops() -> None:
    """Every class by itself, with the folds of this protocol and scikit-learn's machines."""
    x, presence = drawn(240)
    settings = Svm(costs=(0.1, 1.0, 30.0), positive_weight=2.0)
    found = train(x, presence, 4, settings, "map", quiet)
    folds, full = _folds(presence.double(), 3), extended(x)
    for k in range(4):
        figures = []
        for c in settings.costs:
            each = []
            for fold in range(3):
                held, counted = folds[:, k] == fold, presence[:, k] != 0
                machine = liblinear(full[~held & counted, :-1], presence[~held & counted, k], c, 2.0)
                votes = torch.from_numpy(machine.decision_function(full[held, :-1].numpy()))
                each += precisions(votes[:, None], presence[held, k : k + 1], "map")
            figures.append(sum(each) / 3)  # type: ignore[arg-type]
        assert found.costs[k] == settings.costs[int(np.argmax(figures))]
    whole = liblinear(full[presence[:, 0] != 0, :-1], presence[presence[:, 0] != 0, 0], found.costs[0] or 0, 2.0)
    torch.testing.assert_close(found.decisions(x)[:, 0], torch.from_numpy(whole.decision_function(full[:, :-1].numpy())), rtol=0, atol=1e-3)


def test_the_map_on_new_images_is_liblinears() -> None:
    (x, presence), (test, shown) = drawn(300), drawn(300, seed=1)
    found = train(x, presence, 4, Svm(costs=(1.0,)), "map", quiet)
    votes, mine, theirs = found.decisions(test), [], []
    for k in range(4):
        counted, there = presence[:, k] != 0, shown[:, k] != 0
        machine = liblinear(extended(x)[counted, :-1], presence[counted, k], 1.0, 1.0)
        theirs += precisions(torch.from_numpy(machine.decision_function(extended(test)[:, :-1].numpy()))[:, None], shown[:, k : k + 1], "map")
        mine.append(average_precision_score(shown[there, k].numpy() == 1, votes[there, k].numpy()))
    assert measure(votes, shown, 4, "map") == pytest.approx(sum(theirs) / 4, abs=1e-3)  # type: ignore[arg-type]
    assert all(a >= b for a, b in zip(precisions(votes, shown, "map"), mine, strict=True))  # type: ignore[operator]  # the envelope lies above


def test_one_class_an_image_is_scikit_learns_one_against_the_rest() -> None:
    g = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 5, (400,), generator=g)
    x = torch.randn(5, 16, generator=torch.Generator().manual_seed(9))[labels] + 1.5 * torch.randn(400, 16, generator=g)
    found = train(x, labels, 5, Svm(costs=(0.1, 1.0, 10.0)), "top1", quiet)
    assert len(set(found.costs)) == 1
    oracle = LinearSVC(C=found.costs[0], dual=False, tol=1e-9)
    oracle.fit(extended(x)[:, :-1].numpy(), labels.numpy())
    torch.testing.assert_close(found.decisions(x), torch.from_numpy(oracle.decision_function(extended(x)[:, :-1].numpy())), rtol=0, atol=1e-3)


def test_folds_keep_the_shares_and_are_always_the_same() -> None:
    labels = torch.tensor([0] * 30 + [1] * 9 + [2] * 4)
    folds = _folds(labels, 3)
    assert [labels[folds[:, 0] == fold].bincount().tolist() for fold in range(3)] == [[10, 3, 2], [10, 3, 1], [10, 3, 1]]
    assert torch.equal(folds, _folds(labels, 3))


def test_classes_that_cannot_be_cross_validated() -> None:
    """One image of a class: it goes by the cost that is best for the others. None of it, or all: no machine, and it is said."""
    x, presence = drawn(120)
    presence[:, 1], presence[7, 1] = -1, 1
    presence[:, 2] = -1
    found = train(x, presence, 4, Svm(costs=(0.1, 1.0, 10.0)), "map", quiet)
    best = max(found.tried, key=lambda c: found.tried[c])
    assert found.costs[1] == best
    assert found.costs[2] is None
    assert found.decisions(x)[:, 2].isnan().all()
    assert "1 of 4 classes lack training or test images that show them, and are left out of the mean" in found.doubts(presence)


def test_what_there_is_nothing_to_learn_from() -> None:
    x = torch.randn(12, 4)
    with pytest.raises(UserError, match="svm: the training images must show at least two classes"):
        train(x, torch.zeros(12, dtype=torch.int64), 3, Svm(), "top1", quiet)
    lonely = torch.full((12, 2), -1, dtype=torch.int8)
    lonely[0, 0] = lonely[1, 1] = 1
    with pytest.raises(UserError, match="svm: no class has as many images as it takes to hold one out"):
        train(x, lonely, 2, Svm(), "map", quiet)


def test_settings() -> None:
    assert SVM["voc07"].costs == (0.01, 0.1, 1, 2, 5, 10, 15, 20, 50, 100, 1000)
    assert (SVM["voc07"].folds, SVM["voc07"].positive_weight) == (3, 2.0)
    for wrong in ({"costs": ()}, {"costs": (0.0, 1.0)}, {"folds": 1}, {"positive_weight": 0.0}):
        with pytest.raises(UserError, match="svm: "):
            Svm(**wrong)  # type: ignore[arg-type]


def test_fits_that_are_cut_short_are_said() -> None:
    x, presence = drawn(100)
    found = train(x, presence, 4, Svm(costs=(100.0,), evaluations=3), "map", quiet)
    assert any("fits were ended before their gradient was small" in line for line in found.doubts(presence))
