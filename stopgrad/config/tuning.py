"""The settings of what trains a whole network: fine-tuning on labels, all of them or few, and distillation from a fine-tuned network."""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """How a network is trained. Of ``lr``, ``weight_decay`` and ``epochs`` fine-tuning may be given several values: those best on
    held-out training images are taken.
    """

    name: str
    """Whose settings."""
    optimiser: Literal["sgd", "lars"] = "sgd"
    momentum: float = 0.9
    nesterov: bool = False
    """SGD only."""
    trust: float = 0.001
    """LARS: the trust coefficient."""
    lr: tuple[float, ...]
    lr_rule: Literal["linear", "sqrt", "fixed"] = "linear"
    """Peak learning rate: ``lr · batch / 256``, ``lr · √batch``, or ``lr`` whatever the batch. A batch is no more than the images there are."""
    head_lr: float = 1.0
    """The classifier's learning rate, as a multiple of the network's."""
    weight_decay: tuple[float, ...] = (0.0,)
    decay_over_lr: bool = False
    """Divide the weight decay by ``lr``, so that a step of the peak rate shrinks the weights by it whatever the rate."""
    decay_bn_bias: bool = False
    """True: decay, and LARS' adaptation, of BN and biases too. LARS neither decays nor adapts the classifier, as in SimCLR's code."""
    batch: int
    """Images a step."""
    accumulate: int = 1
    """Parts a batch is split into where memory is short; BN statistics are then per part."""
    epochs: tuple[float, ...] = ()
    """Times that as many images are seen as there are; none: ``steps`` says how long."""
    steps: int | None = None
    """Steps, instead of epochs."""
    schedule: Literal["cosine", "steps", "constant"] = "cosine"
    """A cosine to 0; or the peak, multiplied by ``drop`` at every one of ``drops``; or the peak."""
    drops: tuple[float, ...] = ()
    """steps: shares of the training after which the rate falls."""
    drop: float = 0.1
    warmup: float = 0.0
    """Share of the training in which the rate rises from 0, linearly."""
    init: Literal["zero", "normal"] = "zero"
    """What the classifier's weights start from: 0, or N(0, 0.01²). Its biases start from 0."""
    scale: tuple[float, float] = (0.08, 1.0)
    """Area of the random crop as a share of the image: RandomResizedCrop's own."""
    flip: float = 0.5
    """Probability of a horizontal flip."""
    seed: int = 0
    precision: Literal["fp32", "bf16"] = "fp32"
    """Of training; bf16 (autocast) is for GPUs. Judged in fp32 either way."""


@dataclass(frozen=True, kw_only=True)
class Finetune(Tuning):
    """A backbone and a linear classifier trained on labels (protocols/finetune.py)."""

    protocol: ClassVar[str] = "finetune"

    head: int = 0
    """Layers of the projector that are kept below the classifier (SimCLRv2)."""
    layer_decay: float = 1.0
    """A layer's learning rate, as a multiple of that of the layer after it; the classifier's has ``head_lr``."""
    smoothing: float = 0.0
    """Share of the target that is spread over all classes; for images of one class each."""
    bn_momentum: Literal["own", "images"] = "own"
    """images: BN's running statistics keep max(1 − 10 / s, 0.9) of themselves a step, s the steps an epoch; own: as the network has it."""
    held_out: float = 0.2
    """Share of every class's labelled images, or of all where they may show several classes each, on which the best of several values is
    chosen; the final training is on all."""


@dataclass(frozen=True, kw_only=True)
class Semi(Finetune):
    """Fine-tuning on few labels: as many of every class, always the same ones (protocols/subsets.py)."""

    protocol: ClassVar[str] = "semi"

    share: float
    """Share of the training images whose labels are used, at least one image a class."""
    listed: str | None = None
    """A text file of the names of the images whose labels are used, one a line, instead."""

    @property
    def variant(self) -> str:
        """How many labels, in a word or two: ``1 %``."""
        return f"{100 * self.share:g} %" if self.listed is None else "listed"


@dataclass(frozen=True, kw_only=True)
class Distill(Tuning):
    """A student trained to say what a fine-tuned teacher says of images without labels (protocols/distill.py)."""

    protocol: ClassVar[str] = "distill"

    temperature: float
    """τ, by which the logits of both are divided."""


def problems(settings: Tuning) -> list[str]:
    """Return what is wrong with ``settings``, one line each, naming the field; an empty list when one can train by them."""
    s, name = settings, settings.name
    found = [
        (bool(s.lr) and all(0 < lr < math.inf for lr in s.lr), f"lr: one above 0, or several, not {_many(s.lr)}"),
        (bool(s.weight_decay) and min(s.weight_decay) >= 0, f"weight_decay: one of 0 or more, or several, not {_many(s.weight_decay)}"),
        (all(0 < e < math.inf for e in s.epochs) and (s.steps is None or s.steps > 0), "epochs, steps: above 0"),
        (bool(s.epochs) != (s.steps is not None), "epochs, steps: exactly one of them says how long (epochs= or steps=none takes it away)"),
        (s.head_lr > 0, f"head_lr: above 0, not {s.head_lr}"),
        (0 <= s.momentum < 1, f"momentum: from 0 to below 1, not {s.momentum}"),
        (s.trust > 0, f"trust: above 0, not {s.trust}"),
        (not s.nesterov or s.optimiser == "sgd", "nesterov: for SGD, LARS has none"),
        (s.batch >= 2, f"batch: BN needs at least 2 images, not {s.batch}"),
        (1 <= s.accumulate <= s.batch // 2, f"accumulate: from 1 to half the batch ({s.batch}), not {s.accumulate}"),
        (s.schedule != "steps" or bool(s.drops), "drops: schedule=steps needs at least one"),
        (all(0 < d < 1 for d in s.drops), f"drops: shares of the training between 0 and 1, not {_many(s.drops)}"),
        (s.drop > 0, f"drop: above 0, not {s.drop}"),
        (0 <= s.warmup < 1, f"warmup: a share of the training from 0 to below 1, not {s.warmup}"),
        (0 < s.scale[0] <= s.scale[1] <= 1, f"scale: 0 < smallest <= largest <= 1, not {_many(s.scale)}"),
        (0 <= s.flip <= 1, f"flip: a probability from 0 to 1, not {s.flip}"),
    ]
    if isinstance(s, Finetune):
        found += [
            (s.head >= 0, f"head: 0 layers or more, not {s.head}"),
            (0 < s.layer_decay <= 1, f"layer_decay: above 0 and at most 1, not {s.layer_decay}"),
            (0 <= s.smoothing < 1, f"smoothing: from 0 to below 1, not {s.smoothing}"),
            (0 < s.held_out < 1, f"held_out: a share between 0 and 1, not {s.held_out}"),
        ]
    if isinstance(s, Semi):
        found.append((0 < s.share <= 1, f"share: of the labels, above 0 and at most 1, not {s.share}"))
    if isinstance(s, Distill):
        several = max(len(s.lr), len(s.weight_decay), len(s.epochs)) > 1
        found.append((not several, "lr, weight_decay, epochs: one of each: without labels there is nothing to choose by"))
        found.append((s.temperature > 0, f"temperature: above 0, not {s.temperature}"))
    return [f"{name}: {line}" for holds, line in found if not holds]


def _many(values: tuple[float, ...]) -> str:
    return ", ".join(f"{v:g}" for v in values) or "none"


_SIMCLR = Semi(name="simclr", share=0.01, nesterov=True, lr=(0.05,), batch=4096, epochs=(60,))
_SIMCLR_V2 = Semi(name="simclr-v2", share=0.01, optimiser="lars", lr=(0.005,), lr_rule="sqrt", batch=1024, epochs=(60,), head=1)
_SWAV = Semi(
    name="swav", share=0.01, lr=(0.02,), lr_rule="fixed", head_lr=250.0, batch=256, epochs=(20,), schedule="steps", drops=(0.6, 0.8), drop=0.2,
    init="normal",
)  # fmt: skip
_BYOL = Semi(name="byol", share=0.01, nesterov=True, lr=(0.005, 0.01, 0.02, 0.05, 0.1), lr_rule="fixed", batch=1024, epochs=(30, 50))
_SMALL = Semi(name="small", share=0.01, nesterov=True, lr=(0.1,), batch=64, steps=400, warmup=0.1)

SEMI = {
    # arXiv:2002.05709, Sec. 4.2 and App. B.5: lr 0.05 · batch / 256, no warm-up, no decay, crop and flip; 60 epochs on 1 %, 30 on 10 %. The
    # classifier starts from 0 and the rate falls on a cosine in its code.
    "simclr-1": _SIMCLR,
    "simclr-10": Semi(**vars(_SIMCLR) | {"share": 0.1, "epochs": (30,)}),
    # arXiv:2006.10029, Sec. 3, from the first layer of the head; rate, batch and epochs of 1 % from the official code's README, 30 epochs on 10 %.
    "simclr-v2-1": _SIMCLR_V2,
    "simclr-v2-10": Semi(**vars(_SIMCLR_V2) | {"share": 0.1, "epochs": (30,)}),
    # arXiv:2006.09882, App. A: 20 epochs, batch 256, a fifth at epochs 12 and 16, no decay; trunk 0.02 and head 5 on 1 %, 0.01 and 0.2 on 10 %.
    "swav-1": _SWAV,
    "swav-10": Semi(**vars(_SWAV) | {"share": 0.1, "lr": (0.01,), "head_lr": 20.0}),
    # arXiv:2006.07733, App. C.1: rate of five, 30 or 50 epochs, batch 1024; the paper chooses on other labelled images, here on a fifth of the few.
    "byol-1": _BYOL,
    "byol-10": Semi(**vars(_BYOL) | {"share": 0.1}),
    # Ours, no paper's: for some hundreds or thousands of small labelled images on a CPU. By steps: of 100 labels, 60 epochs are 94 steps, which
    # leave random and pre-trained weights alike unfinished.
    "small-1": _SMALL,
    "small-10": Semi(**vars(_SMALL) | {"share": 0.1, "steps": 1000}),
}
"""Fine-tuning on 1 % and 10 % of the labels, as papers do it."""

_TRANSFER = Finetune(
    name="simclr",
    nesterov=True,
    lr=(0.1, 0.0316, 0.01, 0.00316, 0.001, 0.000316, 0.0001),
    lr_rule="fixed",
    weight_decay=(0.0, 1e-6, 3.16e-6, 1e-5, 3.16e-5, 1e-4, 3.16e-4, 1e-3),
    decay_over_lr=True,
    batch=256,
    steps=20_000,
    bn_momentum="images",
)
FINETUNE = {
    # arXiv:2002.05709, App. B.8: 20,000 steps, 7 rates by 7 decays and none, BN's momentum by the steps an epoch. Ours: the cosine, and what is
    # held out (a fifth of every class), on which the paper is silent or takes each data set's own validation part.
    "simclr": _TRANSFER,
    # The same from random weights: 40,000 steps.
    "simclr-scratch": Finetune(**vars(_TRANSFER) | {"steps": 40_000}),
    # arXiv:2006.10029, Sec. 3: all labels, from the backbone itself, 30 epochs; the rest as for few labels.
    "simclr-v2": Finetune(name="simclr-v2", optimiser="lars", lr=(0.005,), lr_rule="sqrt", batch=1024, epochs=(30,)),
    # arXiv:2006.07733, App. C.1, with all labels.
    "byol": Finetune(name="byol", nesterov=True, lr=_BYOL.lr, lr_rule="fixed", batch=1024, epochs=_BYOL.epochs),
    # Ours, no paper's: for some thousands of small labelled images on a CPU.
    "small": Finetune(name="small", nesterov=True, lr=(0.1,), batch=64, epochs=(10,), warmup=0.1),
}
"""Fine-tuning on all labels, as papers do it."""

_DISTILL = Distill(
    name="self", temperature=0.1, optimiser="lars", lr=(0.1,), lr_rule="sqrt", weight_decay=(1e-4,), batch=4096, epochs=(400,), warmup=0.05
)
DISTILL = {
    # arXiv:2006.10029, Sec. 3: 400 epochs, crop and flip, τ 0.1 where the student is of the teacher's kind; rate, warm-up, decay and batch of
    # its pre-training.
    "self": _DISTILL,
    # The same with τ 1 where it is smaller.
    "big-to-small": Distill(**vars(_DISTILL) | {"name": "big-to-small", "temperature": 1.0}),
    # Ours, no paper's: for some thousands of small images on a CPU.
    "small": Distill(name="small", temperature=1.0, nesterov=True, lr=(0.1,), batch=64, epochs=(5,), warmup=0.1),
}
"""SimCLRv2's third step."""
