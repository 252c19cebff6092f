"""Settings of the methods without negatives: SimSiam, its alternating form, BYOL, SwAV."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from stopgrad.config.method import MethodConfig, Sign, too_few, wrong_heads, wrong_share, wrong_temperature

NO_STOP_GRADIENT = "the stop-gradient is off (SimSiam Fig. 2). Try: --set method.stop_gradient=true"
NO_BN = "probably the projector without BN (SimSiam Table 3a). Try: --set method.projector_bn=true,true"
NO_PREDICTOR = "there is no predictor (SimSiam Table 1a). Try: --set method.predictor=trained"


@dataclass(frozen=True, kw_only=True)
class SimSiamConfig(MethodConfig):
    """SimSiam, arXiv:2011.10566: no negatives, no momentum encoder; a predictor and a stop-gradient."""

    name: ClassVar[str] = "simsiam"

    projector: tuple[int, ...]
    """Widths of the projector's layers, the last is d: 2048, 2048, 2048 on ImageNet (Sec. 3), two layers on CIFAR-10 (App. D)."""
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
    pairs_of_views: int
    """Pairs of views of every image in a step; the loss is their mean. 1, or 2 to see as much without symmetrisation as with it (Sec. 4.6)."""

    @property
    def pairs(self) -> int:
        return self.pairs_of_views

    @property
    def centred(self) -> bool:
        return self.projector_bn[1]

    @property
    def lowest_loss(self) -> float | None:
        return -1.0 if self.similarity == "cosine" else None

    def problems(self, views: int, epochs: int) -> list[str]:
        found = super().problems(views, epochs) + wrong_heads(self.projector, self.predictor_hidden)
        return found + too_few("method.pairs_of_views", self.pairs_of_views, least=1)

    def suspects(self, sign: Sign) -> list[str]:
        found = [] if self.stop_gradient else [NO_STOP_GRADIENT]
        found += [NO_PREDICTOR] if self.predictor == "none" else []
        return found + ([] if any(self.projector_bn) else [NO_BN])


@dataclass(frozen=True, kw_only=True)
class EMConfig(MethodConfig):
    """SimSiam as alternating optimisation, arXiv:2011.10566 Sec. 5: k-step alternation, or a moving average of every image's target."""

    name: ClassVar[str] = "em"

    projector: tuple[int, ...]
    """Widths of the projector's layers, the last is d, as SimSiam's."""
    predictor_hidden: int
    """Width of the predictor's hidden layer."""
    predictor_fixed_lr: bool
    """True: the predictor's learning rate does not decay (Table 1c)."""
    predictor: Literal["trained", "none"]
    """trained (k-step alternation, Sec. 5.2) or none (moving average, Sec. 5.2)."""
    steps: int
    """k: gradient steps on θ between two computations of η; 0: as many as an epoch has. 1 is SimSiam. Unused under a memory."""
    memory: float | None
    """m of η_x ← m·η_x + (1 − m)·F(T'(x)), kept an image (0.8 in Sec. 5.2); None: η is computed anew every k steps."""

    @property
    def one_part(self) -> bool:
        return True

    @property
    def centred(self) -> bool:
        return True

    @property
    def lowest_loss(self) -> float | None:
        return -1.0

    def problems(self, views: int, epochs: int) -> list[str]:
        found = super().problems(views, epochs) + wrong_heads(self.projector, self.predictor_hidden)
        found += [] if self.steps >= 0 else [f"method.steps: 0 (an epoch) or more, not {self.steps}"]
        return found + wrong_share("method.memory", self.memory)

    def suspects(self, sign: Sign) -> list[str]:
        return [NO_PREDICTOR + " or a moving average (--set method.memory=0.8)"] if self.predictor == "none" and not self.memory else []


@dataclass(frozen=True, kw_only=True)
class BYOLConfig(MethodConfig):
    """BYOL, arXiv:2006.07733: a predictor, and targets from a slowly following copy of the network."""

    name: ClassVar[str] = "byol"

    projector: tuple[int, ...]
    """Widths of the projector's layers, the last is d: 4096, 256; BN on the hidden layer."""
    predictor_hidden: int | None
    """Width of the predictor's hidden layer (4096); None: no predictor, which collapses (Table 5b)."""
    predictor_layers: int
    """Layers of the predictor (2), all but the last of that width. Unused without a predictor."""
    momentum: float | None
    """τ_base: the target follows with a momentum that rises from it to 1 on a cosine; None: no momentum encoder (v3, App. J)."""
    stop_gradient: bool
    """False: the gradient also flows through the target; only without the momentum encoder."""
    predictor_lr: float
    """Multiplies the predictor's learning rate: 1; 10 without the momentum encoder (v3); at 0 it stays as it began."""

    beta: float
    """β, weight of the term that pushes other images away, as SimCLR does with 1 (the paper's link to contrastive methods); 0: BYOL."""
    temperature: float
    """α, the temperature of that term. Unused where β is 0."""

    @property
    def negatives(self) -> bool:
        return self.beta > 0

    @property
    def one_part(self) -> bool:
        return self.beta > 0

    @property
    def slow_copy(self) -> bool:
        return self.momentum is not None

    @property
    def lowest_loss(self) -> float | None:
        return None if self.beta else 0.0

    def problems(self, views: int, epochs: int) -> list[str]:
        found = super().problems(views, epochs) + wrong_heads(self.projector, self.predictor_hidden) + wrong_share("method.momentum", self.momentum)
        if not self.stop_gradient and self.momentum is not None:
            found.append("method.stop_gradient: a momentum encoder never has a gradient; take --set method.momentum=none with it")
        found += wrong_temperature(self.temperature) + too_few("method.predictor_layers", self.predictor_layers, least=1)
        found += [] if self.beta >= 0 else [f"method.beta: 0 or more, not {self.beta}"]
        return found if self.predictor_lr >= 0 else [*found, f"method.predictor_lr: 0 or more, not {self.predictor_lr}"]

    def suspects(self, sign: Sign) -> list[str]:
        if self.beta:  # negatives keep outputs apart, whatever else is missing
            return []
        found = [] if self.stop_gradient else [NO_STOP_GRADIENT]
        return found + ([] if self.predictor_hidden else ["there is no predictor (BYOL Table 5b). Try: --set method.predictor_hidden=4096"])


@dataclass(frozen=True, kw_only=True)
class SwAVConfig(MethodConfig):
    """SwAV, arXiv:2006.09882: views predict each other's cluster codes, found online by Sinkhorn-Knopp."""

    name: ClassVar[str] = "swav"
    joins_views: ClassVar[bool] = True
    views: ClassVar[int | None] = None

    projector: tuple[int, ...]
    """Widths of the projector's layers, the last is d: 2048, 128; BN on the hidden layer."""
    prototypes: int
    """K, prototype vectors (3000)."""
    temperature: float
    """τ of Eq. 2 (0.1)."""
    epsilon: float
    """ε of Eq. 3, the smoothness of the codes (0.05)."""
    sinkhorn: int
    """Iterations of Sinkhorn-Knopp (3)."""
    queue: int
    """Earlier embeddings of each of the first two views that the codes are also balanced over (3840 at batch 256); 0: none."""
    queue_from_epoch: float
    """Epochs before the queue begins to fill (15)."""
    freeze_epochs: float | None
    """Epochs during which the prototypes stay as they are (1); None: all, they are fixed at random."""
    predictor_hidden: int | None
    """Width of a predictor's hidden layer: the crossing SwAV + predictor (SimSiam Sec. 6.2); None: no predictor."""
    stop_gradient: bool
    """False: the gradient also flows through the codes (SimSiam Sec. 6.2: diverges)."""
    normalise_inside: bool
    """True: the prototypes' normalisation is part of the gradient (SimSiam Sec. 6.2); False: it is done before every step."""

    @property
    def one_part(self) -> bool:
        return True

    def problems(self, views: int, epochs: int) -> list[str]:
        found = super().problems(views, epochs) + wrong_heads(self.projector, self.predictor_hidden) + wrong_temperature(self.temperature)
        found += [] if views >= 2 else [f"views: swav takes 2 or more, not {views}"]
        found += [] if self.prototypes >= 2 else [f"method.prototypes: at least 2, not {self.prototypes}"]
        found += [] if self.epsilon > 0 and self.sinkhorn >= 1 else ["method.epsilon above 0 and method.sinkhorn of 1 or more"]
        if self.freeze_epochs is not None and self.freeze_epochs >= epochs:
            found.append(f"method.freeze_epochs: below train.epochs ({epochs}), or no prototype ever learns; if that is meant, none")
        return found + too_few("method.queue", self.queue)

    def suspects(self, sign: Sign) -> list[str]:
        remedies = "Try: --set method.epsilon=0.03, a longer --set method.freeze_epochs, weaker views"
        return [] if sign != "stuck" else [f"the codes carry nothing, which is SwAV's collapse (its official README). {remedies}"]
