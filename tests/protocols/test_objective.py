"""What fine-tuning learns by and chooses by."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from stopgrad.config.tuning import Finetune
from stopgrad.errors import UserError
from stopgrad.images.pool import Pool
from stopgrad.protocols.features import Labelled
from stopgrad.protocols.metrics import precisions
from stopgrad.protocols.objective import counted_of, doubts, loss_of, refuse_unlearnable, sigmoid_cross_entropy, value_of

SETTINGS = Finetune(name="toy", lr=(0.1,), batch=4, epochs=(1,))


def drawn(n: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and presence with a fifth of it not to be counted."""
    rng = np.random.default_rng(0)
    return rng.normal(0, 3, (n, classes)), rng.choice(np.array([1, -1, 0], dtype=np.int8), p=[0.2, 0.6, 0.2], size=(n, classes))


def presence(*rows: tuple[int, ...]) -> Tensor:
    return torch.tensor(rows, dtype=torch.int8)


def test_the_loss_and_its_gradient_are_those_of_the_entries_that_count() -> None:
    """Against a sum entry by entry, in float64: −ln p or −ln (1 − p), and p − 1 or p, over how many there are."""
    z, y = drawn(9, 5)
    total, slope, counted = 0.0, np.zeros_like(z), 0
    for i in range(9):
        for k in range(5):
            if y[i, k] == 0:
                continue
            p = 1 / (1 + math.exp(-z[i, k]))
            total -= math.log(p if y[i, k] == 1 else 1 - p)
            slope[i, k] = p - (y[i, k] == 1)
            counted += 1
    assert 0 < counted < 45
    logits = torch.tensor(z, requires_grad=True)
    loss = sigmoid_cross_entropy(logits, torch.from_numpy(y))
    loss.backward()
    assert loss.item() == pytest.approx(total / counted, rel=1e-12)
    assert logits.grad is not None
    assert np.allclose(logits.grad.numpy(), slope / counted, rtol=1e-12, atol=1e-15)


def test_what_is_difficult_has_no_part_in_it() -> None:
    """Whatever its logit, and however extreme the others are."""
    labels = presence((1, 0), (-1, 1))
    losses = {float(sigmoid_cross_entropy(torch.tensor([[0.5, other], [-0.5, 0.2]]), labels)) for other in (-1e4, 0.0, 1e4)}
    assert len(losses) == 1
    assert float(sigmoid_cross_entropy(torch.tensor([[1e4, 0.0], [1e4, 1e4]]), labels)) == pytest.approx(1e4 / 3)
    logits = torch.ones(2, 2, requires_grad=True)
    sigmoid_cross_entropy(logits, torch.zeros(2, 2, dtype=torch.int8)).backward()  # a batch in which nothing counts
    assert logits.grad is not None
    assert not logits.grad.any()


def test_the_labels_of_the_images_at_hand_are_taken() -> None:
    z, y = drawn(9, 5)
    logits, labels, numbers = torch.from_numpy(z), torch.from_numpy(y), torch.tensor([7, 0, 3])
    loss = loss_of(labels, 0.0)(logits[numbers], torch.empty(0), numbers)
    assert float(loss) == float(sigmoid_cross_entropy(logits[numbers], labels[numbers]))
    one = torch.tensor([0, 1, 2, 3, 4, 0, 1, 2, 3])
    smooth = loss_of(one, 0.1)(logits[numbers], torch.empty(0), numbers)
    assert float(smooth) == float(functional.cross_entropy(logits[numbers], one[numbers], label_smoothing=0.1))


def test_parts_of_a_batch_weigh_by_the_entries_that_count() -> None:
    z, y = drawn(8, 5)
    y[:4, 1:] = 0  # difficult, in one half of the batch
    logits, labels, numbers = torch.from_numpy(z), torch.from_numpy(y), torch.arange(8)
    loss, counted = loss_of(labels, 0.0), counted_of(labels)
    parts = [loss(logits[part], torch.empty(0), part) * counted(part) / counted(numbers) for part in numbers.chunk(2)]
    assert float(sum(parts)) == pytest.approx(float(loss(logits, torch.empty(0), numbers)), rel=1e-6)
    assert counted_of(torch.tensor([1, 0, 2]))(torch.tensor([0, 2])) == 2


def test_the_value_is_the_metrics() -> None:
    logits, one = torch.tensor([[2.0, 1], [0, 3], [5, 4]]), torch.tensor([0, 0, 0])
    assert value_of(logits, one, "top1") == pytest.approx(2 / 3)
    assert value_of(torch.cat((logits, logits)), torch.tensor([0, 0, 0, 1, 1, 1]), "mean_per_class") == pytest.approx(0.5)
    z, y = drawn(40, 5)
    y[:, 2] = np.where(y[:, 2] == 1, -1, y[:, 2])  # shown by none: left out of the mean
    votes, shown = torch.from_numpy(z), torch.from_numpy(y)
    for metric in ("map11", "map"):
        known = [ap for ap in precisions(votes, shown, metric) if ap is not None]
        assert len(known) == 4
        assert value_of(votes, shown, metric) == pytest.approx(sum(known) / 4)
    assert value_of(votes, shown, "map11") != value_of(votes, shown, "map")


GRID = replace(SETTINGS, lr=(0.1, 0.2))
ALTERNATING = presence(*[(1, -1), (-1, 1)] * 10)


@pytest.mark.parametrize(
    ("labels", "settings", "message"),
    [
        (ALTERNATING, replace(SETTINGS, smoothing=0.1), r"smoothing: is for images of one class each, .* take smoothing=0"),
        (presence((1, -1), (1, -1), (0, 0)), SETTINGS, "the 3 training images show no class in some and not in others; give more labelled images"),
        (ALTERNATING[:2], GRID, r"chooses among 2 rates and decays, and a share of 0\.2 of 2 images is none to choose on; give more labels"),
        (
            torch.where(torch.arange(20)[:, None] == 3, 1, presence((-1, -1))),
            GRID,
            "no class is in some and not in others both of the 4 held out",
        ),
    ],
    ids=["smoothing", "nothing to learn", "too few", "none held out"],
)
def test_labels_that_nothing_is_learned_or_chosen_from_are_refused(labels: Tensor, settings: Finetune, message: str) -> None:
    images = Labelled.resident(Pool.from_arrays([np.zeros((1, 4, 4), dtype=np.uint8)] * len(labels)), labels)
    with pytest.raises(UserError, match=f"^who: .*{message}"):
        refuse_unlearnable("who", images, 2, settings, len(settings.lr))


def test_one_class_or_not_is_enough() -> None:
    images = Labelled.resident(Pool.from_arrays([np.zeros((1, 4, 4), dtype=np.uint8)] * 20), ALTERNATING[:, :1])
    refuse_unlearnable("who", images, 1, GRID, 2)


def test_classes_that_are_not_shown_are_said() -> None:
    labels = presence((1, -1, -1, 0), (-1, 1, -1, -1), (-1, 1, -1, 0))
    nobody = torch.empty(0, dtype=torch.int64)
    learned = "2 of 4 classes are shown by no training image: nothing is learned of them, and they count in the mean"
    assert doubts(labels, 4, nobody) == [learned]
    assert doubts(labels, 4, torch.tensor([1])) == [learned, "1 of 4 classes are shown by no held-out image, and had no part in the choice"]
    assert doubts(labels[:, :2], 2, torch.tensor([0, 1])) == []
