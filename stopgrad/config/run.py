"""A run as a value. No field that a paper reports has a default: a recipe states it."""

from dataclasses import dataclass
from typing import Literal

from stopgrad.config.method import MethodConfig


@dataclass(frozen=True, kw_only=True)
class View:
    """The distribution of one view of an image. Probabilities in 0..1; colours in 0..1."""

    size: int
    """Side of the rendered square, pixels."""
    scale: tuple[float, float]
    """Area of the random crop as a share of the image, smallest and largest."""
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    """Width / height of the crop, smallest and largest; drawn uniformly in the logarithm."""
    flip: float
    """Probability of a horizontal flip."""
    jitter: tuple[float, float, float, float]
    """Strengths of brightness, contrast, saturation (factor in 1 ± s) and hue (shift in ± s turns, at most 0.5)."""
    jitter_p: float
    """Probability of the colour jitter; its four operations come in random order, per image."""
    grey: float
    """Probability of greyscale."""
    blur: float
    """Probability of the Gaussian blur."""
    blur_sigma: tuple[float, float] = (0.1, 2.0)
    """Standard deviation of the blur in pixels, drawn uniformly per image."""
    solarise: float = 0.0
    """Probability of solarisation: values at or above one half are inverted (BYOL's second view)."""


@dataclass(frozen=True, kw_only=True)
class Data:
    """Which images, and how they are read."""

    source: str
    """A folder, a list (.csv, .parquet), a CIFAR or IDX folder, or ``bundled``."""
    labels: Literal["auto", "folders", "none"] = "auto"
    """folders: the first folder below the source is the class. auto: where the source obviously has labels."""
    channels: int
    """Channels of every image handed to the backbone; grey is repeated to 3, colour is made grey for 1."""
    mean: tuple[float, ...]
    """Subtracted from every channel (values 0..1)."""
    std: tuple[float, ...]
    """Divides every channel after the mean is taken off."""
    size: int
    """Side of the square that the finished backbone is judged and used at, pixels; views have their own."""
    short_side: int | None
    """Reduce images whose shorter side is longer than this while reading them; None keeps every pixel."""
    max_pixels: int = 64_000_000
    """Refuse an image whose header claims more pixels than this, before decoding it."""
    max_bad: float = 0.01
    """Stop before training when more than this share of the images is unreadable."""
    residence: Literal["auto", "device", "ram", "stream"] = "auto"
    """Where decoded images live; auto decides from free memory and says so."""
    workers: int = -1
    """Processes that decode when streaming; 0 decodes in the training process, -1 takes one a core."""


RESNETS = ("resnet10", "resnet18", "resnet34", "resnet50", "resnet101", "resnet152")
"""The backbones that have a stem, a width and zero-init; all others are torchvision's or timm's."""


@dataclass(frozen=True, kw_only=True)
class Net:
    """The backbone."""

    backbone: str
    """A name: resnet10..resnet152, or any torchvision or timm classification network (prefix torchvision/ or timm/ to insist)."""
    stem: Literal["imagenet", "cifar", "small"] = "imagenet"
    """ResNets only. imagenet: 7x7 stride 2 and max-pool; cifar: 3x3 stride 1, no max-pool; small: 3x3 stride 2, no max-pool."""
    width: int = 64
    """ResNets only: channels of the first stage."""
    zero_init_residual: bool
    """ResNets only: the last BN scale of every block starts at 0."""
    init: str | None = None
    """A run or a backbone file to start from; None: random initialisation."""


@dataclass(frozen=True, kw_only=True)
class Optim:
    """The optimiser, and the learning rate of every step."""

    kind: Literal["sgd", "lars"]
    lr: float
    """Base learning rate: for 256 images under the linear rule, for one under the square-root rule."""
    lr_rule: Literal["linear", "sqrt"] = "linear"
    """Peak learning rate: ``lr * batch / 256``, or ``lr * sqrt(batch)`` (SimCLR, App. B.1)."""
    momentum: float
    nesterov: bool = False
    """SGD only: look ahead along the momentum."""
    weight_decay: float
    decay_bn_bias: bool
    """True: weight decay, and LARS' adaptation, on every parameter (SimSiam, Sec. 3). False: not on BN and biases (SimCLR's LARS)."""
    trust: float = 0.001
    """LARS: the trust coefficient."""
    warmup_epochs: float
    """Linear warm-up."""
    warmup_from: float = 0.0
    """Where the warm-up begins, as a share of the peak."""
    schedule: Literal["cosine", "steps"] = "cosine"
    """After the warm-up, set at every step: a cosine, or the peak multiplied by ``drop`` at every one of ``drop_epochs``."""
    floor: float = 0.0
    """cosine: where it ends, as a share of the peak."""
    drop: float = 0.1
    drop_epochs: tuple[float, ...] = ()


Precision = Literal["auto", "fp32", "bf16"]


@dataclass(frozen=True, kw_only=True)
class Train:
    """How long, how large, how exact."""

    epochs: int
    batch: int
    """Images a step, over all processes and accumulated parts."""
    accumulate: int = 1
    """Parts a batch is split into; BN statistics are then per part, and MoCo's queue moves on with every part."""
    seed: int = 0
    precision: Precision = "auto"
    """auto: bf16 autocast where the device does it natively and gains from it, and says so."""
    threads: int = 0
    """CPU: threads of the arithmetic in each process, which decide how sums round; 0: one or one a core, whichever is faster when the run begins."""
    compile: bool = False
    """torch.compile the backbone."""
    deterministic: bool = False
    """GPU: only deterministic kernels (slower). The CPU path is always deterministic."""
    log_every: int = 10
    """Steps between two records of metrics.jsonl and two looks at collapse."""
    monitor_every: float = 1.0
    """Epochs between two looks that need more: effective rank, kNN."""
    checkpoint_seconds: float = 60.0
    """Time between two checkpoints; one more is made at the end and at a signal."""
    keep: int = 3
    """Checkpoints kept, besides milestones."""
    milestone_every: int = 0
    """Epochs between two checkpoints that are kept for good; 0: none."""
    bn: Literal["sync", "local", "split"] = "sync"
    """BN statistics over the whole batch, over what each process holds, or over ``bn_splits`` equal parts, however many processes there are."""
    bn_splits: int = 8
    """bn=split only: parts of the batch (MoCo trains on 8 GPUs without synchronised BN)."""
    on_collapse: Literal["stop", "warn"] = "warn"
    """What the verdict of a collapse does to the run."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """Everything that decides the numbers of a run."""

    recipe: str
    """The recipe it started from."""
    data: Data
    views: tuple[View, ...]
    net: Net
    method: MethodConfig
    optim: Optim
    train: Train


SMALLEST = 8
"""Side of the smallest view, pixels: the strides of our ResNets multiply to 8 at least, a smaller view is less than one place of the last stage."""


def problems(run: Run) -> list[str]:
    """Return what is wrong with ``run``, one line each, naming the field; an empty list when it can be trained.

    Values out of range come alone: what they contradict is told when they are mended.
    """
    wrong = _data_problems(run.data) + _views_problems(run.views) + _net_problems(run.net) + _optim_problems(run.optim) + _train_problems(run.train)
    return wrong or run.method.problems(len(run.views), run.train.epochs) + _contradictions(run)


def _data_problems(data: Data) -> list[str]:
    return _unmet(
        (data.channels >= 1, f"data.channels: at least 1, not {data.channels}"),
        (all(s > 0 for s in data.std), f"data.std: every value above 0, not {data.std}"),
        (0 <= data.max_bad <= 1, f"data.max_bad: a share from 0 to 1, not {data.max_bad}"),
        (data.workers >= -1, f"data.workers: -1 (one a core), 0 or more, not {data.workers}"),
        (data.short_side is None or data.short_side >= SMALLEST, f"data.short_side: at least {SMALLEST} pixels, not {data.short_side}"),
        (data.size >= SMALLEST, f"data.size: {_too_small(data.size)}"),
        (data.max_pixels >= 1, f"data.max_pixels: at least 1, not {data.max_pixels}"),
    )


def _net_problems(net: Net) -> list[str]:
    return _unmet((net.width >= 1, f"net.width: at least 1, not {net.width}"))


def _optim_problems(optim: Optim) -> list[str]:
    return _unmet(
        (optim.lr > 0, f"optim.lr: above 0, not {optim.lr}"),
        (0 <= optim.momentum < 1, f"optim.momentum: from 0 to below 1, not {optim.momentum}"),
        (optim.weight_decay >= 0, f"optim.weight_decay: 0 or more, not {optim.weight_decay}"),
        (optim.trust > 0, f"optim.trust: above 0, not {optim.trust}"),
        (optim.warmup_epochs >= 0, f"optim.warmup_epochs: 0 or more, not {optim.warmup_epochs}"),
        (0 <= optim.warmup_from <= 1, f"optim.warmup_from: a share of the peak from 0 to 1, not {optim.warmup_from}"),
        (0 <= optim.floor <= 1, f"optim.floor: a share of the peak from 0 to 1, not {optim.floor}"),
    )


def _train_problems(train: Train) -> list[str]:
    return _unmet(
        (train.epochs >= 1, f"train.epochs: at least 1, not {train.epochs}"),
        (train.batch >= 2, f"train.batch: BN needs at least 2 images, not {train.batch}"),
        (train.accumulate >= 1, f"train.accumulate: at least 1, not {train.accumulate}"),
        (train.bn_splits >= 1, f"train.bn_splits: at least 1, not {train.bn_splits}"),
        (train.log_every >= 1, f"train.log_every: at least 1, not {train.log_every}"),
        (train.keep >= 1, f"train.keep: at least 1, not {train.keep}"),
        (train.milestone_every >= 0, f"train.milestone_every: 0 (none) or more epochs, not {train.milestone_every}"),
        (train.monitor_every > 0, f"train.monitor_every: above 0 epochs, not {train.monitor_every}"),
        (train.checkpoint_seconds >= 0, f"train.checkpoint_seconds: 0 or more, not {train.checkpoint_seconds}"),
    )


def _contradictions(run: Run) -> list[str]:
    """Return where values that can each be one do not go together."""
    data, optim, train, method = run.data, run.optim, run.train, run.method
    part = train.batch // train.accumulate
    groups = train.bn_splits if train.bn == "split" else 1
    return resnet_only(run.net) + _unmet(
        (len(data.mean) in (1, data.channels), f"data.mean: {len(data.mean)} values for {data.channels} channels; give 1 or {data.channels}"),
        (len(data.std) in (1, data.channels), f"data.std: {len(data.std)} values for {data.channels} channels; give 1 or {data.channels}"),
        (not (method.one_part and train.accumulate > 1), f"train.accumulate: {method.name} takes whole batches, its loss is over all of one"),
        (
            not (method.joins_views and train.bn == "split"),
            f"train.bn: {method.name} passes several views together, which split BN would cut; take sync or local",
        ),
        (optim.schedule == "cosine" or bool(optim.drop_epochs), "optim.drop_epochs: optim.schedule=steps needs at least one"),
        (
            optim.schedule == "cosine" or not optim.drop_epochs or min(optim.drop_epochs) < train.epochs,
            f"optim.drop_epochs: none below train.epochs ({train.epochs})",
        ),
        (not optim.nesterov or optim.kind == "sgd", "optim.nesterov: for SGD, LARS has none"),
        (optim.warmup_epochs <= train.epochs, f"optim.warmup_epochs: {optim.warmup_epochs:g} are more than train.epochs ({train.epochs})"),
        (train.batch % train.accumulate == 0, f"train.accumulate: {train.accumulate} does not divide train.batch ({train.batch})"),
        (part >= 2, f"train.accumulate: BN needs at least 2 images a part, not {part}"),
        (part % groups == 0, f"train.bn_splits: {groups} does not divide the {part} images of a part"),
        (part // groups >= 2 or part < 2, f"train.bn_splits: BN needs at least 2 images a part, not {part // groups}"),
    )


def resnet_only(net: Net) -> list[str]:
    """Return what is asked of another library's network, or of a module of the user's own, that only our ResNets have."""
    if net.backbone in RESNETS:
        return []
    asked = (("stem", net.stem, "imagenet"), ("width", net.width, 64), ("zero_init_residual", net.zero_init_residual, False))
    only = f"is for {', '.join(RESNETS)} only; with {net.backbone} it must be"
    return [f"net.{field}: {str(value).lower()} {only} {str(neutral).lower()}" for field, value, neutral in asked if value != neutral]


def _too_small(size: int) -> str:
    return f"at least {SMALLEST} pixels, not {size}: a ResNet halves a view three times or more, and must still see something"


def _unmet(*conditions: tuple[bool, str]) -> list[str]:
    return [line for holds, line in conditions if not holds]


def _views_problems(views: tuple[View, ...]) -> list[str]:
    """Return what is wrong with the views; what is wrong with all of them, once."""
    found = [_view_problems(view) for view in views]
    common = [line for line in found[0] if all(line in lines for lines in found)] if found else []
    return [f"views.{line}" for line in common] + [f"views.{i}.{line}" for i, lines in enumerate(found) for line in lines if line not in common]


def _view_problems(view: View) -> list[str]:
    chances = {"flip": view.flip, "jitter_p": view.jitter_p, "grey": view.grey, "blur": view.blur, "solarise": view.solarise}
    found = [f"{name}: a probability from 0 to 1, not {chance}" for name, chance in chances.items() if not 0 <= chance <= 1]
    return found + _unmet(
        (view.size >= SMALLEST, f"size: {_too_small(view.size)}"),
        (0 < view.scale[0] <= view.scale[1] <= 1, f"scale: 0 < smallest <= largest <= 1, not {view.scale}"),
        (0 < view.ratio[0] <= view.ratio[1], f"ratio: 0 < smallest <= largest, not {view.ratio}"),
        (0 < view.blur_sigma[0] <= view.blur_sigma[1], f"blur_sigma: 0 < smallest <= largest, not {view.blur_sigma}"),
        (all(s >= 0 for s in view.jitter) and view.jitter[3] <= 0.5, f"jitter: strengths of 0 or more, hue at most 0.5, not {view.jitter}"),
    )
