"""The perceptrons of the methods: which layers, which biases, which initialisation."""

import math

import pytest
import torch
from torch import nn

from stopgrad.nets.heads import mlp


@pytest.mark.parametrize(
    ("hidden_bn", "output_bn", "layers"),
    [
        (True, True, "Linear BatchNorm1d ReLU Linear BatchNorm1d"),
        (True, False, "Linear BatchNorm1d ReLU Linear"),
        (False, True, "Linear ReLU Linear BatchNorm1d"),
        (False, False, "Linear ReLU Linear"),
    ],
)
def test_layers_stand_as_in_table_3(hidden_bn: bool, output_bn: bool, layers: str) -> None:
    head = mlp((7, 5, 3), hidden_bn, output_bn)
    assert [type(m).__name__ for m in head] == layers.split()
    linears = [m for m in head if isinstance(m, nn.Linear)]
    assert [(m.in_features, m.out_features, m.bias is not None) for m in linears] == [(7, 5, not hidden_bn), (5, 3, not output_bn)]
    assert head(torch.randn(4, 7)).shape == (4, 3)


def test_simsiams_projector_has_the_papers_size() -> None:
    """Sec. 3 on ResNet-50: three Linear of 2048 x 2048 without bias, two BN with scale and bias, the last without."""
    with torch.device("meta"):
        projector = mlp((2048, 2048, 2048, 2048), True, True, output_affine=False)
        predictor = mlp((2048, 512, 2048), True, False)
    assert sum(p.numel() for p in projector.parameters()) == 3 * 2048**2 + 2 * 2 * 2048
    assert sum(p.numel() for p in predictor.parameters()) == 2 * 2048 * 512 + 2 * 512 + 2048
    assert projector[-1].weight is None


def test_output_is_normalised_and_not_rectified() -> None:
    torch.manual_seed(0)
    z = mlp((6, 8, 4), True, True, output_affine=False)(torch.randn(64, 6))
    assert torch.allclose(z.mean(0), torch.zeros(4), atol=1e-6)
    assert torch.allclose(z.std(0, correction=0), torch.ones(4), atol=1e-3)
    assert bool((z < 0).any())


def test_a_single_layer_has_no_relu() -> None:
    head = mlp((6, 4), True, False)
    assert [type(m).__name__ for m in head] == ["Linear"]


def test_initialisation_is_pytorchs() -> None:
    """App. A: U(-sqrt(k), sqrt(k)) with k = 1 / fan-in."""
    torch.manual_seed(0)
    weight = mlp((400, 300, 2), True, True)[0].weight.detach()
    bound = 1 / math.sqrt(400)
    assert float(weight.abs().max()) == pytest.approx(bound, rel=1e-3)
    assert float(weight.std()) == pytest.approx(bound / math.sqrt(3), rel=0.01)
