"""The settings of each method, one frozen class a method, and the table of their names.

They stand apart from the methods themselves because reading a configuration must not cost an import of torch.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal


@dataclass(frozen=True, kw_only=True)
class SimSiamConfig:
    """SimSiam, arXiv:2011.10566. Sections and tables named below are of that paper."""

    name: ClassVar[str] = "simsiam"

    projector: tuple[int, ...]
    """Widths of the projector's layers: 2048, 2048, 2048 on ImageNet (Sec. 3), two layers on CIFAR-10 (App. D). The last is d."""
    predictor_hidden: int
    """Width of the predictor's hidden layer: d/4, a bottleneck (Sec. 3)."""
    predictor: Literal["trained", "fixed", "none"]
    """trained; fixed at its random initialisation (Table 1b); none (Table 1a: collapse)."""
    predictor_fixed_lr: bool
    """True: the predictor's learning rate does not decay (Table 1c)."""
    stop_gradient: bool
    """False: the collapse of Fig. 2."""
    projector_bn: tuple[bool, bool]
    """BN on the projector's hidden layers, and on its output (Table 3)."""
    predictor_bn: tuple[bool, bool]
    """BN on the predictor's hidden layer, and on its output (Table 3; the latter makes training unstable)."""
    output_affine: bool
    """Whether the projector's output BN has scale and bias. The official code: no (68.2 against 68.1, Sec. 4.4)."""
    similarity: Literal["cosine", "cross_entropy"]
    """Negative cosine (Eq. 1), or cross-entropy of softmaxed outputs (Sec. 4.5)."""
    symmetrised: bool
    """True: Eq. 2, both directions. False: only D(p1, z2) (Sec. 4.6)."""


MethodConfig = SimSiamConfig
METHODS: dict[str, type[MethodConfig]] = {"simsiam": SimSiamConfig}
