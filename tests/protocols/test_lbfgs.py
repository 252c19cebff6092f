import warnings

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from stopgrad.config.protocols import LBFGS, Lbfgs
from stopgrad.errors import UserError
from stopgrad.protocols.lbfgs import choose, fit, hold_out, objective, standard
from stopgrad.protocols.metrics import measure
from stopgrad.protocols.minimise import minimise


def drawn(n: int, features: int, classes: int, seed: int = 0, spread: float = 3.0) -> tuple[Tensor, Tensor]:
    """Correlated features, as a network's are: the spectrum of their covariance falls by a factor of a thousand."""
    g = torch.Generator().manual_seed(seed)
    mix = torch.linalg.qr(torch.randn(features, features, generator=torch.Generator().manual_seed(99))).Q * torch.logspace(0, -1.5, features)
    labels = torch.randint(classes, (n,), generator=g)
    centres = torch.randn(classes, features, generator=torch.Generator().manual_seed(98))
    return (centres[labels] + spread * torch.randn(n, features, generator=g)) @ mix.T + 2, labels


def standardised(x: Tensor) -> Tensor:
    mean, std = standard(x)
    return (x - mean) / std


def moments(x: Tensor) -> Tensor:
    return x.T @ x / len(x)


def sklearn_fit(x: Tensor, y: Tensor, l2: float) -> LogisticRegression:
    """The same objective: scikit-learn's is C · sum of losses + ‖W‖²/2."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return LogisticRegression(C=1 / (l2 * len(x)), tol=1e-6, max_iter=10_000).fit(x.double().numpy(), y.numpy())


@pytest.mark.parametrize("l2", [1.0, 1e-2, 1e-4])
def test_loss_and_accuracy_are_those_of_scikit_learn(l2: float) -> None:
    x, y = drawn(1500, 48, 6)
    test, true = drawn(1500, 48, 6, seed=1)
    mean, std = standard(x)
    x, test = (x - mean) / std, (test - mean) / std
    mine = fit(x, y, 6, l2, Lbfgs(), moments(x), None)
    oracle = sklearn_fit(x, y, l2)
    weight, bias = torch.from_numpy(oracle.coef_), torch.from_numpy(oracle.intercept_)
    theirs, _, _ = objective(x.double(), y, weight, bias, l2)
    assert mine.loss == pytest.approx(theirs, abs=2e-5)
    accuracy = float((mine.logits(test).argmax(1) == true).float().mean())
    assert accuracy == pytest.approx(oracle.score(test.double().numpy(), true.numpy()), abs=0.002)
    torch.testing.assert_close(mine.weight.double(), weight, rtol=0.02, atol=0.02)


def test_gradients_are_those_of_autograd() -> None:
    x, y = drawn(40, 5, 4)
    weight, bias = (torch.randn(shape, dtype=torch.float64).requires_grad_() for shape in ((4, 5), (4,)))
    x = x.double()
    expected = torch.nn.functional.cross_entropy(x @ weight.T + bias, y) + 0.3 / 2 * weight.square().sum()
    expected.backward()
    loss, by_weight, by_bias = objective(x, y, weight.detach(), bias.detach(), 0.3)
    assert loss == pytest.approx(float(expected.detach()), rel=1e-12)
    torch.testing.assert_close((by_weight, by_bias), (weight.grad, bias.grad))


def test_the_objective_in_parts_is_the_objective(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = drawn(40, 5, 4)
    weight, bias = torch.randn(4, 5), torch.randn(4)
    whole = objective(x, y, weight, bias, 0.1)
    monkeypatch.setattr("stopgrad.protocols.lbfgs._LOGITS", 4 * 7)
    torch.testing.assert_close(objective(x, y, weight, bias, 0.1), whole)


def test_preconditioning_changes_the_path_and_not_the_end() -> None:
    x, y = drawn(600, 40, 5)
    x = standardised(x)
    quick = fit(x, y, 5, 1e-3, Lbfgs(tolerance=1e-5), moments(x), None)

    def plainly(v: Tensor) -> tuple[float, Tensor]:
        loss, by_weight, by_bias = objective(x, y, v[:, :-1], v[:, -1], 1e-3)
        return loss, torch.cat((by_weight, by_bias[:, None]), dim=1)

    plain = minimise(plainly, torch.zeros(5, 41), 1000, 1e-5)
    assert quick.loss == pytest.approx(plain.value, abs=1e-5)
    assert quick.evaluations < plain.evaluations / 2


def test_a_warm_start_arrives_where_a_cold_one_does() -> None:
    x, y = drawn(600, 40, 5)
    x = standardised(x)
    first = fit(x, y, 5, 1e-2, Lbfgs(), moments(x), None)
    cold, warm = (fit(x, y, 5, 1e-3, Lbfgs(), moments(x), start) for start in (None, first))
    assert warm.loss == pytest.approx(cold.loss, abs=1e-5)
    assert fit(x, y, 5, 1e-2, Lbfgs(), moments(x), first).evaluations < first.evaluations / 4


def test_the_penalty_is_the_best_on_images_held_out() -> None:
    """Few images, many features and much noise: the held-out accuracy has its peak within the sweep."""
    x, y = drawn(400, 64, 4, spread=5.0)
    chosen = choose(x, y, 4, Lbfgs(patience=99))
    assert chosen.held_out == pytest.approx(80, abs=2)
    assert len(chosen.tried) == len(Lbfgs().l2)
    best = max(accuracy for _, accuracy in chosen.tried)
    assert chosen.l2 == max(l2 for l2, accuracy in chosen.tried if accuracy == best)
    assert not chosen.at_edge
    order, spared = hold_out(y, 0.2)
    x, y = standardised(x)[order], y[order]
    for l2, accuracy in chosen.tried[::4]:
        assert accuracy == pytest.approx(
            sklearn_fit(x[spared:], y[spared:], l2).score(x[:spared].numpy(), y[:spared].numpy()), abs=0.0126
        )  # one image


def test_the_final_fit_is_on_all_images() -> None:
    x, y = drawn(400, 16, 4)
    chosen = choose(x, y, 4, Lbfgs())
    x = (x - chosen.mean) / chosen.std
    assert chosen.fit.loss == pytest.approx(fit(x, y, 4, chosen.l2, Lbfgs(), moments(x), None).loss, abs=1e-5)


def test_the_sweep_ends_when_it_only_gets_worse() -> None:
    g = torch.Generator().manual_seed(1)
    y = torch.randint(4, (1000,), generator=g)
    x = torch.randn(1000, 200, generator=g)
    x[:, :4] += 1.5 * torch.nn.functional.one_hot(y, 4)  # four features say something, 196 invite to learn by heart
    long, short = (choose(x, y, 4, Lbfgs(patience=patience)) for patience in (99, 2))
    assert len(short.tried) < len(long.tried) == len(Lbfgs().l2)
    assert short.tried == long.tried[: len(short.tried)]
    best = max(accuracy for _, accuracy in short.tried)
    assert long.l2 == short.l2
    assert all(accuracy < best for _, accuracy in (*short.tried[-2:], *long.tried[len(short.tried) :]))


def test_an_edge_is_told_of() -> None:
    x, y = drawn(200, 16, 4)
    assert choose(x, y, 4, Lbfgs(l2=(1e3, 1e2))).at_edge


def test_every_class_is_held_out_in_proportion_and_always_the_same() -> None:
    labels = torch.tensor([0] * 50 + [1] * 10 + [2] * 3 + [3])
    order, held = hold_out(labels, 0.2)
    assert sorted(order.tolist()) == list(range(64))
    assert labels[order[:held]].bincount(minlength=4).tolist() == [10, 2, 1, 0]
    assert torch.equal(order, hold_out(labels, 0.2)[0])
    assert order[:10].tolist() != list(range(10))  # not just the first of a class


def test_too_few_images_to_spare_any() -> None:
    with pytest.raises(UserError, match="2 training images a class is none"):
        hold_out(torch.tensor([0, 0, 1, 1]), 0.2)


def test_constant_features_do_no_harm() -> None:
    """Neither exact constants nor what varies by rounding alone is blown up by standardising."""
    x, y = drawn(300, 16, 4)
    noise = 1e-4 * torch.randn(300, 1, generator=torch.Generator().manual_seed(0))
    with_constants = torch.cat((x, torch.full((300, 1), 7.0), torch.zeros(300, 1), 1000 + noise), dim=1)
    assert standard(with_constants)[1][-3:].tolist() == [1.0, 1.0, 1.0]
    plain, padded = choose(x, y, 4, Lbfgs()), choose(with_constants, y, 4, Lbfgs())
    assert padded.l2 == plain.l2
    assert padded.fit.loss == pytest.approx(plain.fit.loss, abs=1e-4)


def test_a_collapsed_backbone_gives_chance_and_no_error() -> None:
    y = torch.arange(300) % 3
    chosen = choose(torch.ones(300, 8), y, 3, Lbfgs())
    assert torch.unique(chosen.logits(torch.ones(5, 8)).argmax(1)).numel() == 1
    assert chosen.fit.loss == pytest.approx(1.0986, abs=1e-3)  # ln 3


@pytest.mark.parametrize("l2", [(), (0.1, 0.0)])
def test_a_sweep_that_is_none_is_refused(l2: tuple[float, ...]) -> None:
    with pytest.raises(UserError, match="above 0"):
        choose(*drawn(50, 4, 2), 2, Lbfgs(l2=l2))


def test_simclrs_penalties_and_scikit_learns_accuracy_at_the_one_chosen() -> None:
    settings = LBFGS["simclr"]
    assert (len(settings.l2), max(settings.l2), min(settings.l2)) == (45, pytest.approx(1e5), pytest.approx(1e-6))
    (x, y), (test, true) = drawn(1000, 32, 5, spread=4.0), drawn(2000, 32, 5, seed=1, spread=4.0)
    chosen = choose(x, y, 5, settings)
    assert len(chosen.tried) == 45
    oracle = sklearn_fit((x - chosen.mean) / chosen.std, y, chosen.l2)
    mine = float((chosen.logits(test).argmax(1) == true).float().mean())
    assert mine == pytest.approx(oracle.score(((test - chosen.mean) / chosen.std).double().numpy(), true.numpy()), abs=0.002)


def test_the_penalty_is_the_best_by_the_metric_of_the_data_set() -> None:
    """With four images in five of one class the others are best not said, where it is the share of right images that counts."""
    x, y = drawn(600, 16, 3, spread=4.0)
    rare = torch.cat(((y == 0).nonzero()[:, 0], (y == 1).nonzero()[:25, 0], (y == 2).nonzero()[:25, 0]))
    settings = Lbfgs(l2=(10.0, 1.0, 0.1, 1e-2, 1e-3), patience=9)
    shares, means = (choose(x[rare], y[rare], 3, settings, metric) for metric in ("top1", "mean_per_class"))  # type: ignore[arg-type]
    order, spared = hold_out(y[rare], 0.2)
    held = y[rare][order[:spared]]
    assert shares.tried[0][1] == pytest.approx(float((held == 0).float().mean()))
    assert means.tried[0][1] == pytest.approx(1 / 3)
    assert means.l2 < shares.l2


def several(n: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Features of images that show any of four classes, one in ten not to be counted."""
    g = torch.Generator().manual_seed(seed)
    shown = torch.rand(n, 4, generator=g) < 0.3
    x = shown.float() @ torch.randn(4, 24, generator=torch.Generator().manual_seed(5)) + 1.5 * torch.randn(n, 24, generator=g)
    return x, torch.where(torch.rand(n, 4, generator=g) < 0.1, 0, torch.where(shown, 1, -1)).to(torch.int8)


def test_several_classes_an_image_are_as_many_regressions_of_scikit_learn() -> None:
    """On what is counted; the objective is a mean over all images, and scikit-learn's a sum."""
    (x, presence), (test, _) = several(500), several(300, seed=1)
    x = standardised(x)
    found = fit(x, presence, 4, 0.01, Lbfgs(tolerance=1e-6), moments(x), None)
    for k in range(4):
        counted = presence[:, k] != 0
        oracle = LogisticRegression(C=1 / (0.01 * 500), tol=1e-8, max_iter=10_000).fit(x[counted].double().numpy(), presence[counted, k].numpy())
        torch.testing.assert_close(
            found.logits(test)[:, k].double(), torch.from_numpy(oracle.decision_function(test.double().numpy())), rtol=0, atol=5e-3
        )


def test_gradients_of_several_classes_are_those_of_autograd() -> None:
    x, presence = several(40)
    weight, bias = (torch.randn(shape, dtype=torch.float64).requires_grad_() for shape in ((4, 24), (4,)))
    x, counted = x.double(), presence != 0
    logits = x @ weight.T + bias
    each = torch.nn.functional.binary_cross_entropy_with_logits(logits, (presence == 1).double(), reduction="none")
    expected = each[counted].sum() / 40 + 0.3 / 2 * weight.square().sum()
    expected.backward()
    loss, by_weight, by_bias = objective(x, presence, weight.detach(), bias.detach(), 0.3)
    assert loss == pytest.approx(float(expected.detach()), rel=1e-12)
    torch.testing.assert_close((by_weight, by_bias), (weight.grad, bias.grad))


def test_the_penalty_for_several_classes_is_chosen_by_precision() -> None:
    x, presence = several(300)
    chosen = choose(x, presence, 4, Lbfgs(), "map11")
    assert chosen.held_out == 60
    order, spared = hold_out(presence, 0.2)
    z = ((x - chosen.mean) / chosen.std)[order]
    some = fit(z[spared:], presence[order[spared:]], 4, 1.0, Lbfgs(), moments(z[spared:]), None)
    assert dict(chosen.tried)[1.0] == pytest.approx(measure(some.logits(z[:spared]), presence[order[:spared]], 4, "map11"), abs=0.01)
