"""The projector and predictor: multi-layer perceptrons. Chen & He, arXiv:2011.10566, Sec. 3 and App. A."""

from itertools import pairwise

from torch import nn


def mlp(widths: tuple[int, ...], hidden_bn: bool, output_bn: bool, output_affine: bool = True) -> nn.Sequential:
    """Return layers from ``widths[0]`` inputs over the hidden widths to ``widths[-1]`` outputs: (N, widths[0]) to (N, widths[-1]).

    Hidden layers are Linear, BN (with ``hidden_bn``) and ReLU; the last is Linear and BN (with ``output_bn``; its scale and bias
    with ``output_affine``) and no ReLU. A Linear has a bias only where no BN follows. The initialisation is PyTorch's: a fixed
    standard deviation such as 0.01 may not converge (App. A).
    """
    assert len(widths) >= 2, widths
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths[:-1]):
        layers.append(nn.Linear(inputs, outputs, bias=not hidden_bn))
        layers += [nn.BatchNorm1d(outputs)] if hidden_bn else []
        layers.append(nn.ReLU(inplace=True))
    layers.append(nn.Linear(widths[-2], widths[-1], bias=not output_bn))
    layers += [nn.BatchNorm1d(widths[-1], affine=output_affine)] if output_bn else []
    return nn.Sequential(*layers)
