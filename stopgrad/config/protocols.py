"""The settings of the protocols that judge frozen features. Apart from the protocols, since a wrong word is answered without torch."""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from stopgrad.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Knn:
    """Weighted k nearest neighbours (protocols/knn.py)."""

    protocol: ClassVar[str] = "knn"

    k: int = 200
    """Neighbours."""
    temperature: float = 0.1
    """T: a neighbour of cosine c weighs exp(c / T)."""

    def __post_init__(self) -> None:
        if self.k < 1:
            raise UserError(f"knn: k is {self.k}; take at least one neighbour")
        if not 0 < self.temperature < float("inf"):
            raise UserError(f"knn: the temperature is {self.temperature}; take one above 0")


@dataclass(frozen=True, kw_only=True)
class Lbfgs:
    """Logistic regression on frozen features by L-BFGS (protocols/lbfgs.py)."""

    protocol: ClassVar[str] = "lbfgs"

    l2: tuple[float, ...] = (10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5)
    """Penalties tried, from the greatest to the smallest."""
    held_out: float = 0.2
    """Share of every class's training images on which the penalty is chosen; the final fit is on all."""
    patience: int = 2
    """The sweep ends when this many penalties in a row were worse than the best, in accuracy and in cross-entropy."""
    evaluations: int = 200
    """Times that L-BFGS computes the objective at most, a penalty."""
    tolerance: float = 1e-4
    """A fit is finished when no entry of the (preconditioned) gradient is above this."""

    def __post_init__(self) -> None:
        if not self.l2 or not all(0 < l2 < math.inf for l2 in self.l2):
            raise UserError(f"lbfgs: l2 takes penalties above 0, not {self.l2}")
        if not 0 < self.held_out < 1 or self.evaluations < 1:
            raise UserError(f"lbfgs: held_out is a share between 0 and 1, evaluations at least 1, not {self.held_out} and {self.evaluations}")


LBFGS = {
    "usual": Lbfgs(),
    # arXiv:2002.05709, App. B.8: 45 values between 1e-6 and 1e5, a factor 10^(1/4) apart, each tried. The paper does not say whether its
    # cross-entropy is a sum or a mean; here it is a mean, and features are standardised.
    "simclr": Lbfgs(l2=tuple(10 ** (5 - i / 4) for i in range(45)), patience=45),
}


@dataclass(frozen=True, kw_only=True)
class Linear:
    """A linear classifier on frozen features of augmented images, by SGD or LARS (protocols/linear.py)."""

    protocol: ClassVar[str] = "linear"

    name: str
    """Whose protocol."""
    optimiser: Literal["sgd", "lars"]
    lr: float
    """Base learning rate, for 256 images; where there is a sweep, the one of it that was taken."""
    sweep: tuple[float, ...] = ()
    """Base rates trained at once on the same views; the one best on training images held out is then trained on all. None: lr alone."""
    held_out: float = 0.1
    """Share of every class's training images on which the rate of a sweep is chosen."""
    batch: int
    """Images a step; the last step of an epoch takes what is left."""
    epochs: int
    drops: tuple[float, ...] = ()
    """Shares of the training after which the rate falls to a tenth. None: it falls to 0 on a cosine, set at every step."""
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 0.0
    trust: float = 0.001
    """LARS: the trust coefficient."""
    scale: tuple[float, float] = (0.08, 1.0)
    """Area of the random crop as a share of the image: RandomResizedCrop's own."""
    flip: float = 0.5
    """Probability of a horizontal flip."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.batch < 1 or self.epochs < 1:
            raise UserError(f"linear: batch and epochs are at least 1, not {self.batch} and {self.epochs}")
        if not all(0 < lr < math.inf for lr in (self.lr, *self.sweep)):
            raise UserError(f"linear: rates are above 0, not {', '.join(f'{lr:g}' for lr in (self.lr, *self.sweep))}")
        if not 0 < self.held_out < 1:
            raise UserError(f"linear: held_out is a share between 0 and 1, not {self.held_out}")


LINEAR = {
    # Official code, main_lincls.py and README: LARS as apex LARC without clipping. The paper's TPU code had lr 0.02 (App. A); its author:
    # 0.1 is what works in PyTorch (facebookresearch/simsiam issue 13).
    "simsiam": Linear(name="simsiam", optimiser="lars", lr=0.1, batch=4096, epochs=90),
    # Official code, main_lincls.py: lr 30, a tenth at epochs 60 and 80 of 100.
    "moco": Linear(name="moco", optimiser="sgd", lr=30.0, batch=256, epochs=100, drops=(0.6, 0.8)),
    # arXiv:2002.05709, App. B.6.
    "simclr": Linear(name="simclr", optimiser="sgd", nesterov=True, lr=0.1, batch=4096, epochs=90),
    # arXiv:2006.07733, App. C.1: five rates, chosen on training images held out (10009 of ImageNet, under 1 %; a tenth leaves enough of small sets).
    "byol": Linear(name="byol", optimiser="sgd", nesterov=True, lr=0.2, sweep=(0.4, 0.3, 0.2, 0.1, 0.05), batch=1024, epochs=80),
    # arXiv:2006.09882 and its code, eval_linear.py.
    "swav": Linear(name="swav", optimiser="sgd", lr=0.3, batch=256, epochs=100, weight_decay=1e-6),
    # Nobody's: BYOL's with rates a factor of about 3 apart, for features of whatever size.
    "sweep": Linear(name="sweep", optimiser="sgd", nesterov=True, lr=1.0, sweep=(100.0, 30.0, 10.0, 3.0, 1.0, 0.3, 0.1, 0.03), batch=1024, epochs=80),
}
"""Linear evaluation as five papers do it, and one's own. The weight starts from N(0, 0.01²) and the bias from 0 in all."""


@dataclass(frozen=True, kw_only=True)
class Operation:
    """Which form of an operation a view was made with, told from its frozen features by a small network (protocols/operation.py)."""

    protocol: ClassVar[str] = "operation"

    name: Literal["grey", "rotation", "noise", "sobel"]
    """The operation: grey or not, one of four turns, with noise or without, edges or not."""
    share: float
    """Probability of the operation; of the turns by 90, 180 and 270 degrees together."""
    scale: tuple[float, float] = (0.08, 1.0)
    """Area of the views' random crop as a share of the image."""
    jitter: tuple[float, float, float, float] = (0.8, 0.8, 0.8, 0.2)
    """Strengths of their colour jitter, which is done with probability 0.8; of images without three colours the first two."""
    hidden: int = 512
    """Width of the network's one hidden layer."""
    lr: float = 1e-3
    """Peak rate of Adam, which falls to 0 on a cosine."""
    batch: int = 256
    epochs: int = 30
    """Passes over the features: of one view of every image, drawn once."""
    seed: int = 0

    @property
    def of(self) -> Literal["grey", "rotate", "noise", "sobel"]:
        """The field of a view that is the probability of the operation."""
        return "rotate" if self.name == "rotation" else self.name

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise UserError(f"operation ({self.name}): share is a probability between 0 and 1, not {self.share}")
        if min(self.jitter) < 0 or self.jitter[3] > 0.5:
            raise UserError(f"operation ({self.name}): jitter has strengths of 0 or more, hue's at most 0.5, not {self.jitter}")
        if min(self.hidden, self.batch, self.epochs) < 1 or not 0 < self.lr < math.inf:
            raise UserError(f"operation ({self.name}): hidden, batch and epochs are at least 1 and lr above 0")
        if not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise UserError(f"operation ({self.name}): 0 < smallest <= largest <= 1 of scale, not {self.scale}")


OPERATION = {
    # arXiv:2002.05709, Table 3. How often it draws each form follows from the chances it names: 25, 80, 50 and 50 %.
    "rotation": Operation(name="rotation", share=0.75),
    "grey": Operation(name="grey", share=0.2),
    "noise": Operation(name="noise", share=0.5),
    "sobel": Operation(name="sobel", share=0.5),
}
"""SimCLR's four operations. Its small networks and how it trains them are not told: these are ours."""
