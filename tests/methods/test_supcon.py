"""SupCon against loops written from Eqs. 2 and 3, and its relations to SimCLR and of its two forms."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stopgrad.config import SupConConfig
from stopgrad.errors import UserError
from stopgrad.methods import Task, initialise
from stopgrad.methods.simclr import SimCLR
from stopgrad.methods.supcon import SupCon
from stopgrad.nets.backbones import build
from tests.embeddings import apart, cos, gradient, pixels, views
from tests.toys import SIMCLR, toy_run

RUN = toy_run("supcon")
assert isinstance(RUN.method, SupConConfig)
SETTINGS = RUN.method
LABELS = torch.tensor([0, 1, 0, 2, 1, 0])


def supcon(**changes: Any) -> SupCon:
    torch.manual_seed(0)
    return SupCon(build(RUN.net, 1, 8), replace(SETTINGS, **changes))


def projections(method: SupCon, xs: list[Tensor]) -> Tensor:
    """Both the encoder's output and the projector's have norm 1; the latter through the cosine."""
    return torch.cat([method.projector(F.normalize(method.backbone(x), dim=1)) for x in xs])


def slow(z: Tensor, labels: Tensor, form: str, temperature: float = 0.1, base: float = 0.07) -> Tensor:
    """Eq. 2 (out) or Eq. 3 (in) for every view i over its positives p, in float64; the mean over i, times τ over the base."""
    total, classes = torch.zeros((), dtype=torch.float64), labels.repeat(2).tolist()
    for i in range(len(z)):
        similar = {a: torch.exp(cos(z[i], z[a]) / temperature) for a in range(len(z)) if a != i}
        shares = [similar[p] / sum(similar.values()) for p in similar if classes[p] == classes[i]]
        out, inside = torch.stack([torch.log(share) for share in shares]).mean(), torch.log(torch.stack(shares).mean())
        total = total - {"out": out, "in": inside}[form]
    return temperature / base * total / len(z)


@pytest.mark.parametrize("temperature", [0.1, 0.5])
@pytest.mark.parametrize("form", ["out", "in"])
def test_loss_is_its_equation(form: str, temperature: float) -> None:
    method, xs = supcon(form=form, temperature=temperature), views()
    expected = slow(projections(method, xs), LABELS, form, temperature).item()
    assert method(*xs, labels=LABELS).loss.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("form", ["out", "in"])
def test_gradients_are_finite_and_those_of_the_equation(form: str) -> None:
    """The anchor itself is masked by −∞, which must not become NaN on the way back."""
    method, xs = supcon(form=form), views()
    expected = gradient(method, slow(projections(method, xs), LABELS, form))
    assert apart(gradient(method, method(*xs, labels=LABELS).loss), expected) < 1e-4


@pytest.mark.parametrize("form", ["out", "in"])
def test_without_a_common_label_it_is_nt_xent(form: str) -> None:
    ours, theirs = supcon(form=form), SimCLR(pixels(64), replace(SIMCLR, projector=(64,), projector_bn=(False, False), temperature=0.1))
    ours.backbone = theirs.backbone
    ours.projector = theirs.projector = nn.Sequential()
    xs = views()
    expected = 0.1 / 0.07 * theirs(*xs).loss.item()
    assert ours(*xs, labels=torch.arange(6)).loss.item() == pytest.approx(expected, rel=1e-5)
    assert ours(*xs, labels=LABELS).loss.item() != pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("form", ["out", "in"])
def test_equal_embeddings_give_the_logarithm_of_the_candidates(form: str) -> None:
    method = supcon(form=form)
    method.backbone, method.projector = pixels(64), nn.Sequential()
    output = method(torch.ones(6, 1, 8, 8), torch.ones(6, 1, 8, 8), labels=LABELS)
    assert output.loss.item() == pytest.approx(0.1 / 0.07 * math.log(11), rel=1e-5)
    assert output.chance == pytest.approx(0.1 / 0.07 * math.log(11))


@pytest.mark.parametrize("seed", range(5))
def test_the_mean_inside_the_logarithm_is_below_the_one_outside(seed: int) -> None:
    """Jensen: L_in ≤ L_out; strictly here, as the positives of random embeddings are not alike."""
    xs = views(seed=seed)
    losses = {form: supcon(form=form)(*xs, labels=LABELS).loss.item() for form in ("in", "out")}
    assert losses["in"] < losses["out"]


def test_it_needs_labels() -> None:
    with pytest.raises(UserError, match=r"supcon: needs labels.*simclr"):
        initialise(RUN, Task(images=60, batch=12))
    assert isinstance(initialise(RUN, Task(images=60, batch=12, classes=3)), SupCon)
