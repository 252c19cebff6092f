"""The measures at their closed forms and reference values, and when the verdict falls."""

import math
import re
from dataclasses import replace

import pytest
import torch

from stopgrad.config import Run
from stopgrad.methods import Output
from stopgrad.monitor import Monitor, alignment, effective_rank, output_std, told_apart, uniformity
from stopgrad.monitor.verdict import LOOKS
from tests.toys import toy_run


def normal(n: int, d: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("d", [128, 512, 2048])
def test_std_is_one_when_isotropic_and_zero_when_collapsed(d: int) -> None:
    assert float(output_std(normal(2000, d))) == pytest.approx(1, abs=0.01)
    assert float(output_std(normal(1, d).expand(100, d))) == pytest.approx(0, abs=1e-4)


def test_std_is_its_definition() -> None:
    z = normal(7, 5)
    rows = [[x / sum(y * y for y in row) ** 0.5 for x in row] for row in z.double().tolist()]
    stds = []
    for channel in zip(*rows, strict=True):
        mean = sum(channel) / 7
        stds.append((sum((x - mean) ** 2 for x in channel) / 6) ** 0.5)
    assert float(output_std(z)) == pytest.approx(sum(stds) / 5 * 5**0.5, rel=1e-5)


def test_rank_counts_equal_directions() -> None:
    assert float(effective_rank(torch.eye(6, 9))) == pytest.approx(6, rel=1e-3)
    assert float(effective_rank(normal(1, 9).expand(6, 9))) == pytest.approx(1, rel=1e-3)
    low = normal(64, 3) @ normal(3, 32, 1)
    assert float(effective_rank(low)) < 3.01


def test_alignment_is_two_minus_two_cosines() -> None:
    a = normal(5, 8)
    assert float(alignment(a, 4 * a)) == pytest.approx(0, abs=1e-6)
    assert float(alignment(a, -a)) == pytest.approx(4, rel=1e-6)
    assert float(alignment(torch.eye(4), torch.eye(4).roll(1, 0))) == pytest.approx(2, rel=1e-6)


def test_uniformity_at_collapse_and_on_the_sphere() -> None:
    assert float(uniformity(normal(1, 64).expand(50, 64))) == pytest.approx(0, abs=1e-4)
    assert float(uniformity(normal(1500, 64))) == pytest.approx(-3.875, abs=0.02)  # −2t + log ₀F₁(d/2; t²)
    assert float(uniformity(torch.eye(5))) == pytest.approx(-4, rel=1e-5)  # all pairs at distance √2


def output(spread: float, seed: int = 0) -> Output:
    z = normal(1, 32) + spread * normal(16, 32, seed + 1)
    return Output(torch.tensor(-1.0), (z, z), ())


def test_a_small_batch_collapses_as_far_as_bn_lets_it() -> None:
    """All images but one are equal, then BN: std × √d is 2/√16 = 0.5, which no bar of 0.4 would see."""
    monitor = Monitor(toy_run("simsiam", batch=16))
    z = torch.ones(16, 64)
    z[0] = -1
    z = (z - z.mean(0)) / z.std(0, correction=0)
    for step in range(10, 10 * LOOKS + 10, 10):
        measured = monitor.look(step, Output(torch.tensor(-0.875), (z, z)))
    assert 0.45 < measured["std"] < 0.55
    assert monitor.verdict.state == "collapsed"


def test_outputs_that_come_apart_are_no_collapse() -> None:
    """SupCon's first 50 steps on the bundled images, of one seed."""
    monitor = Monitor(toy_run("supcon"))
    for step, spread in zip(range(10, 60, 10), (0.045, 0.061, 0.081, 0.12, 0.173), strict=True):
        monitor.look(step, output(spread / 0.99))
        assert monitor.verdict.state == "healthy"
    for step in range(60, 110, 10):
        monitor.look(step, output(0.04))
    assert monitor.verdict.state == "collapsed"


def test_the_verdict_falls_after_a_few_looks_and_says_since_when(toy: Run) -> None:
    monitor = Monitor(replace(toy, method=replace(toy.method, stop_gradient=False)))  # type: ignore[call-arg]
    for step in range(10, 10 * LOOKS + 10, 10):
        monitor.look(step, output(10.0))
    assert monitor.verdict.state == "healthy"
    for step in range(10 * LOOKS + 10, 20 * LOOKS + 10, 10):
        monitor.look(step, output(1e-3))
    assert monitor.verdict.state == "collapsed"
    assert monitor.verdict.since_step == 10 * LOOKS + 10
    assert f"since step {10 * LOOKS + 10}" in monitor.verdict.text
    assert "method.stop_gradient=true" in monitor.verdict.text


def test_a_dip_is_no_collapse() -> None:
    monitor = Monitor(toy_run("simsiam", batch=64))
    for step in range(10, 200, 10):
        monitor.look(step, output(1e-3 if step % 30 == 0 else 10.0))
    assert monitor.verdict.state == "healthy"


@pytest.mark.parametrize(
    ("change", "advice"),
    [
        ({"predictor": "none"}, "method.predictor=trained"),
        ({"projector_bn": (False, False)}, "method.projector_bn=true,true"),
        ({}, "optim.lr=0.025"),
    ],
)
def test_the_advice_follows_the_configuration(toy: Run, change: dict[str, object], advice: str) -> None:
    monitor = Monitor(replace(toy, method=replace(toy.method, **change)))
    for step in range(10, 10 * LOOKS + 10, 10):
        monitor.look(step, output(1e-4))
    assert advice in monitor.verdict.text


def test_the_state_goes_through_a_checkpoint(toy: Run) -> None:
    monitor, other = Monitor(toy), Monitor(toy)
    monitor.look(10, output(1e-3))
    monitor.look(20, output(1e-3))
    other.load(monitor.state())
    for step in range(30, 10 * LOOKS + 10, 10):
        assert other.verdict.state == "healthy"
        other.look(step, output(1e-3))
    assert other.verdict.since_step == 10


def watch(monitor: Monitor, output: Output, first: int, last: int) -> None:
    """Look at one healthy spread of outputs every ten steps, whatever the loss and the accuracy."""
    z = normal(32, 64)
    for step in range(first, last + 1, 10):
        monitor.look(step, output._replace(z=(z, z)))


def at(loss: float, chance: float, accuracy: float | None = None) -> Output:
    return Output(torch.tensor(loss), accuracy=None if accuracy is None else torch.tensor(accuracy), chance=chance)


def views(noise: float, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Two views each of 64 images: what the image gives, and noise so many times as large."""
    image = normal(64, 32, seed)
    return image + noise * normal(64, 32, seed + 1), image + noise * normal(64, 32, seed + 2)


def train(run: Run, start: float, end: float, last: int = 100) -> Monitor:
    """Return a monitor that saw a schedule whose views began with the noise ``start`` and ended with ``end``."""
    monitor = Monitor(run)
    for step in (*range(1, LOOKS + 1), *range(10, last + 1, 10)):
        z = views(start if step <= LOOKS else end, step)
        measured = monitor.look(step, Output(torch.tensor(-0.1), z, z))
    assert monitor.verdict.state == "healthy"  # whatever it has learned so far
    monitor.conclude(last, measured)
    return monitor


@pytest.mark.parametrize("name", ["simsiam", "byol", "moco", "simclr", "swav", "em"])
@pytest.mark.parametrize(
    ("start", "end", "state"),
    [(3.0, 1.0, "healthy"), (3.0, 3.0, "unlearned"), (2.0, 2.0, "unlearned"), (0.3, 0.3, "healthy")],
    ids=["better", "as strangers all along", "no better than at the start", "told apart from the start"],
)
def test_at_the_end_it_is_asked_whether_anything_was_learned(name: str, start: float, end: float, state: str) -> None:
    monitor = train(toy_run(name), start, end)
    assert monitor.verdict.state == state
    said = r"has not learned: after 100 steps a view is nearer to .* in \d\d% of cases, at the start in \d\d% \(chance is 50%\)"
    assert (re.match(said, monitor.verdict.text) is not None) == (state == "unlearned")


def test_what_brings_images_of_a_class_together_by_intent_is_not_asked() -> None:
    assert train(toy_run("supcon"), 1.0, 3.0).verdict.state == "healthy"


@pytest.mark.parametrize(("steps", "state"), [(LOOKS, "healthy"), (LOOKS + 2, "unlearned")])
def test_a_short_run_is_judged_by_its_last_step_unless_that_is_its_start(toy: Run, steps: int, state: str) -> None:
    monitor = Monitor(toy)
    for step in (*range(1, LOOKS + 1), steps):
        measured = monitor.look(step, Output(torch.tensor(-0.1), views(3.0, step)))
    monitor.conclude(steps, measured)
    assert monitor.verdict.state == state


def test_a_checkpoint_of_an_older_version_says_nothing_of_the_start(toy: Run) -> None:
    monitor, state = Monitor(toy), Monitor(toy).state()
    del state["began"]
    monitor.load(state)
    monitor.conclude(10, monitor.look(10, Output(torch.tensor(-0.1), views(3.0, 10))))
    assert monitor.verdict.state == "healthy"


def test_the_start_goes_through_a_checkpoint(toy: Run) -> None:
    first, second = Monitor(toy), Monitor(toy)
    for step in range(1, LOOKS + 1):
        first.look(step, Output(torch.tensor(-0.1), views(3.0, step)))
    second.load(first.state())
    second.conclude(10, second.look(10, Output(torch.tensor(-0.1), views(3.0, 10))))
    assert second.verdict.state == "unlearned"


def test_what_invites_a_collapse_is_named_where_nothing_was_learned(toy: Run) -> None:
    monitor = train(replace(toy, method=replace(toy.method, stop_gradient=False)), 3.0, 3.0)  # type: ignore[call-arg]
    assert monitor.verdict.state == "unlearned"
    assert "Why: " in monitor.verdict.text
    assert "stop_gradient" in monitor.verdict.text
    assert "higher rate" not in monitor.verdict.text


def test_a_collapse_is_not_called_unlearned(toy: Run) -> None:
    monitor = Monitor(toy)
    for step in (*range(1, LOOKS + 1), *range(10, 10 * LOOKS + 10, 10)):
        measured = monitor.look(step, output(1e-3))
    monitor.conclude(step, measured)
    assert monitor.verdict.state == "collapsed"


def test_told_apart_is_its_definition() -> None:
    a, b = normal(7, 5), normal(7, 5, 1) + 1
    b[3] = b[4]  # a tie
    x, y = (t / t.norm(dim=1, keepdim=True) for t in (a, b))
    nearer = [(float((x[i] - y[j]).norm()), float((x[i] - y[i]).norm())) for i in range(7) for j in range(7) if i != j]
    share = sum(1.0 if other > own + 1e-6 else 0.5 if abs(other - own) <= 1e-6 else 0.0 for other, own in nearer) / len(nearer)
    assert float(told_apart(a, b)) == pytest.approx(share, abs=1e-6)
    assert float(told_apart(a, a)) == 1
    assert float(told_apart(torch.ones(4, 3), torch.ones(4, 3))) == 0.5


STUCK_RUNS = [("swav", math.log(3000), "method.epsilon=0.03"), ("simclr", math.log(2 * 256 - 1), "optim.lr=0.025")]


@pytest.mark.parametrize(("name", "chance", "advice"), STUCK_RUNS)
def test_a_loss_that_stays_at_chance_is_a_collapse_after_500_steps(name: str, chance: float, advice: str) -> None:
    monitor = Monitor(toy_run(name))
    watch(monitor, at(0.999 * chance, chance, 0.01), 10, 490)
    assert monitor.verdict.state == "healthy"  # every healthy run begins there
    watch(monitor, at(0.999 * chance, chance, 0.01), 500, 500)
    assert monitor.verdict.state == "collapsed"
    assert f"the loss ({0.999 * chance:.3f}) stays at 99.9% of the least that outputs which tell nothing apart can have" in monitor.verdict.text
    assert advice in monitor.verdict.text
    assert monitor.verdict.since_step == 460


@pytest.mark.parametrize("name", ["swav", "simclr"])
def test_a_loss_that_left_chance_is_healthy(name: str) -> None:
    monitor = Monitor(toy_run(name))
    watch(monitor, at(0.97 * 6, 6.0, 0.01), 10, 1000)
    assert monitor.verdict.state == "healthy"


def test_keys_that_are_always_recognised_are_given_away() -> None:
    """MoCo App. A.9: BN without shuffling; it needs no 500 steps to show."""
    run = toy_run("moco", bn="sync")
    monitor = Monitor(replace(run, method=replace(run.method, shuffle=False)))  # type: ignore[call-arg]
    watch(monitor, at(0.5, math.log(25), 0.99), 10, 10 * LOOKS)
    assert monitor.verdict.state == "healthy"
    watch(monitor, at(0.01, math.log(25), 1.0), 10 * LOOKS + 10, 20 * LOOKS)
    assert monitor.verdict.state == "collapsed"
    assert "every key is recognised (accuracy 100.0%)" in monitor.verdict.text
    assert "--bn split --set method.shuffle=true" in monitor.verdict.text


@pytest.mark.parametrize("name", ["supervised", "simclr"])
def test_full_accuracy_is_no_collapse_where_no_key_can_be_given_away(name: str) -> None:
    monitor = Monitor(toy_run(name))
    watch(monitor, at(0.01, math.log(3), 1.0), 10, 1000)
    assert monitor.verdict.state == "healthy"


def test_outputs_that_are_alike_need_no_500_steps_and_are_named_first() -> None:
    """Both signs hold: equal outputs are the cause of a loss at chance."""
    monitor = Monitor(toy_run("simclr"))
    z = normal(1, 64).expand(32, 64)
    for step in range(10, 610, 10):
        monitor.look(step, at(3.0, 3.0)._replace(z=(z, z)))
        assert (monitor.verdict.state == "collapsed") == (step >= 10 * LOOKS)
    assert "the outputs of all images are nearly the same" in monitor.verdict.text
