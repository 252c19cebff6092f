"""A run as a value. No field that a paper reports has a default: a recipe states it."""

from dataclasses import dataclass
from typing import Literal

from stopgrad.config.method import MethodConfig


@dataclass(frozen=True, kw_only=True)
class View:
    """The distribution of one view of an image. Probabilities in 0..1; colours in 0..1."""

    size: int
    """Side of the rendered square, pixels."""
    shared_crop: tuple[float, float] | None = None
    """Area of a random crop, 3:4 to 4:3, that all views of an image begin with, as a share of it, smallest and largest; none: with the image."""
    scale: tuple[float, float]
    """Area of the random crop as a share of the image, or of the shared crop, smallest and largest."""
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
    rotate: float = 0.0
    """Probability of a turn by 90, 180 or 270 degrees, each as likely (SimCLR, Sec. 3)."""
    policy: Literal["imagenet", "cifar10"] | None = None
    """AutoAugment's policy (arXiv:1805.09501), as found for these images: one of its 25 sub-policies a view; none: no policy."""
    sobel: float = 0.0
    """Probability that edges take the place of the view: the length of the grey image's gradient."""
    noise: float = 0.0
    """Probability of Gaussian noise, on every value by itself."""
    noise_sigma: tuple[float, float] = (0.0, 0.2)
    """Standard deviation of the noise, drawn uniformly per image."""
    cutout: float = 0.0
    """Probability that a square is cut out: it becomes ``data.mean``. Its middle lies anywhere in the view (arXiv:1708.04552)."""
    cutout_side: float = 0.5
    """Side of that square as a share of the view's (16 of CIFAR-10's 32 pixels, as published)."""

    @property
    def further(self) -> bool:
        """Whether it has any of what only few views have, from a shared crop to cutout: this takes draws and operations of its own."""
        return self.shared_crop is not None or self.policy is not None or max(self.rotate, self.sobel, self.noise, self.cutout) > 0


@dataclass(frozen=True, kw_only=True)
class Data:
    """Which images, and how they are read."""

    source: str
    """A folder, a list (.csv, .parquet), a pack, a CIFAR or IDX folder, or ``bundled``."""
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
    stem: Literal["imagenet", "cifar", "cifar-padded", "small"] = "imagenet"
    """ResNets only. imagenet: 7x7 stride 2 and max-pool; cifar: 3x3 stride 1, no max-pool (cifar-padded: with 2 pixels of padding, as solo-learn
    has it); small: 3x3 stride 2, no max-pool."""
    width: int = 64
    """ResNets only: channels of the first stage."""
    zero_init_residual: bool
    """ResNets only: the last BN scale of every block starts at 0."""
    init: str | None = None
    """What to start from: a run, a backbone file, another project's checkpoint, or a network's name with weights; None: random initialisation."""

    @property
    def own(self) -> bool:
        """Whether it is a module of the user's own, which only Python can build: ``module:`` and the name of its class."""
        return self.backbone.startswith("module:")


@dataclass(frozen=True, kw_only=True)
class Optim:
    """The optimiser, and the learning rate of every step."""

    kind: Literal["sgd", "lars"]
    lr: float
    """Base learning rate: for 256 images under the linear rule, for one under the square-root rule."""
    lr_rule: Literal["linear", "sqrt", "fixed"] = "linear"
    """Peak learning rate: ``lr * batch / 256``, ``lr * sqrt(batch)`` (SimCLR, App. B.1), or ``lr`` whatever the batch."""
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
Compile = Literal["no", "default", "reduce-overhead", "max-autotune"]


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
    """auto: bf16 autocast where the device does it natively and gains from it, and says so. fp32 on a GPU: convolutions in TF32, as is
    torch's default; judging is in full fp32."""
    threads: int = 0
    """CPU: threads of the arithmetic in each process, which decide how sums round; 0: one or one a core, whichever is faster when the run begins."""
    compile: Compile = "no"
    """torch.compile the backbone for training, in one of its modes; reduce-overhead and max-autotune record CUDA graphs."""
    recompute: bool = False
    """Compute the backbone's blocks again on the way back instead of keeping what they made: less memory, a third more arithmetic, the same bits."""
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

    @property
    def shown(self) -> tuple[View, ...]:
        """The views of an image in a step: ``views``, once for every pair that the method takes."""
        return self.views * self.method.pairs


def resnet_only(net: Net) -> list[str]:
    """Return what is asked of another library's network, or of a module of the user's own, that only our ResNets have."""
    if net.backbone in RESNETS:
        return []
    asked = (("stem", net.stem, "imagenet"), ("width", net.width, 64), ("zero_init_residual", net.zero_init_residual, False))
    only = f"is for {', '.join(RESNETS)} only; with {net.backbone} it must be"
    return [f"net.{field}: {str(value).lower()} {only} {str(neutral).lower()}" for field, value, neutral in asked if value != neutral]
