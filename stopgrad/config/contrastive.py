"""Settings of the methods that push other images away: SimCLR, MoCo, SupCon."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from stopgrad.config.method import MethodConfig, Sign, too_few, wrong_heads, wrong_share, wrong_temperature


@dataclass(frozen=True, kw_only=True)
class SimCLRConfig(MethodConfig):
    """SimCLR, arXiv:2002.05709 (v1) and 2006.10029 (v2): every other image of the batch is a negative."""

    name: ClassVar[str] = "simclr"

    projector: tuple[int, ...]
    """Widths of the projector's layers, the last is d: 2048, 128 in v1, three layers in v2; none: the loss is of the backbone's features (Fig. 8)."""
    projector_bn: tuple[bool, bool]
    """BN on the projector's hidden layers, and on its output (there without bias, as in the official code). Unused without a projector."""
    loss: Literal["nt-xent", "nt-logistic", "margin"]
    """Table 2: the softmax over all candidates of Eq. 1, the logistic loss of every pair, or triplets that are to keep a margin."""
    semi_hard: bool
    """True: only negatives farther than the positive, by less than ``margin``, are pushed away (Sec. 5.1); NT-Xent weighs all of them itself."""
    margin: float
    """m of the margin triplets and of what is semi-hard, in units of the similarity. Unused under NT-Xent, and NT-logistic without semi_hard."""
    normalise: bool
    """True: similarities are of unit vectors; False: of the outputs as they are (Table 5, with a τ of 10 and 100)."""
    temperature: float
    """τ of NT-Xent (Eq. 1) and NT-logistic. Unused under margin triplets."""
    predictor_hidden: int | None
    """Width of a predictor's hidden layer: the crossing SimCLR + predictor (SimSiam Sec. 6.2); None: no predictor."""
    stop_gradient: bool
    """True: predictions are compared with fixed targets, the crossing SimCLR + predictor + stop-gradient (SimSiam Sec. 6.2)."""
    memory: int
    """Keys of earlier batches that are further negatives (SimCLRv2 Sec. 2; 65,536 there); 0: none."""
    memory_momentum: float
    """Momentum of the encoder that makes those keys (SimCLRv2: 0.999)."""

    @property
    def negatives(self) -> bool:
        return True

    @property
    def one_part(self) -> bool:
        return True

    @property
    def centred(self) -> bool:
        return bool(self.projector) and self.projector_bn[1]

    @property
    def slow_copy(self) -> bool:
        return self.memory > 0

    def problems(self, views: int, epochs: int) -> list[str]:
        found = super().problems(views, epochs) + wrong_heads(self.projector, self.predictor_hidden, least=0) + wrong_temperature(self.temperature)
        found += [] if self.margin >= 0 else [f"method.margin: 0 or more, not {self.margin}"]
        if self.semi_hard and self.loss == "nt-xent":
            found.append("method.semi_hard: for --set method.loss=nt-logistic and margin; nt-xent weighs its negatives by their hardness itself")
        if self.semi_hard and not self.margin:
            found.append("method.semi_hard: within a margin of 0 there are no negatives; take a --set method.margin above 0")
        return found + wrong_share("method.memory_momentum", self.memory_momentum) + too_few("method.memory", self.memory)


@dataclass(frozen=True, kw_only=True)
class MoCoConfig(MethodConfig):
    """MoCo, arXiv:1911.05722 (v1) and 2003.04297 (v2): a queue of keys from a momentum encoder."""

    name: ClassVar[str] = "moco"
    keys_in_queue: ClassVar[bool] = True

    projector: tuple[int, ...]
    """Widths of the projector's layers, the last is d: 128 in v1, 2048, 128 in v2; no BN."""
    temperature: float
    """τ of Eq. 1: 0.07 in v1, 0.2 in v2."""
    queue: int
    """K, keys in the queue (65,536)."""
    momentum: float
    """m of Eq. 2: θ_k ← m·θ_k + (1 − m)·θ_q (0.999)."""
    shuffle: bool
    """Shuffle the keys over the BN groups (Sec. 3.3): without it, and with BN that is not synchronised, the loss is cheated."""
    symmetric: bool
    """True: both views are query and key in turn (SimSiam's reproduction, Table 4)."""

    @property
    def negatives(self) -> bool:
        return True

    @property
    def slow_copy(self) -> bool:
        return True

    def problems(self, views: int, epochs: int) -> list[str]:
        found = super().problems(views, epochs) + wrong_heads(self.projector) + wrong_temperature(self.temperature)
        return found + wrong_share("method.momentum", self.momentum) + too_few("method.queue", self.queue, least=1)

    def suspects(self, sign: Sign) -> list[str]:
        given = "BN statistics give the keys away, or the views are too alike: keys must be shuffled over parts of the batch (MoCo Sec. 3.3)"
        return [f"{given}. Try: --bn split --set method.shuffle=true"] if sign == "leaking" else []


@dataclass(frozen=True, kw_only=True)
class SupConConfig(MethodConfig):
    """SupCon, arXiv:2004.11362: SimCLR with labels, all views of the class are positives. Needs labels."""

    name: ClassVar[str] = "supcon"
    needs_labels: ClassVar[bool] = True

    projector: tuple[int, ...]
    """Widths of the projector's layers, the last is d: 2048, 128."""
    projector_bn: tuple[bool, bool]
    """BN on the projector's hidden layers, and on its output."""
    temperature: float
    """τ (0.1)."""
    base_temperature: float
    """The loss is multiplied by τ over this (0.07 in the official code)."""
    form: Literal["out", "in"]
    """out: the mean over positives outside the logarithm (Eq. 2, better); in: inside (Eq. 3)."""

    @property
    def negatives(self) -> bool:
        return True

    @property
    def one_part(self) -> bool:
        return True

    @property
    def centred(self) -> bool:
        return self.projector_bn[1]

    def problems(self, views: int, epochs: int) -> list[str]:
        return (
            super().problems(views, epochs)
            + wrong_heads(self.projector)
            + wrong_temperature(self.temperature)
            + wrong_temperature(self.base_temperature)
        )
