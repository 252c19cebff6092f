"""How other projects lay out a backbone in their checkpoints, one row a layout: where it lies, what its layers are called, what lies beside it.

Every key of a file must be known to its layout, as part of the backbone or as left over; nothing is guessed. Imports no torch.
All take images in RGB.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Naming = Literal["torchvision", "children", "unpooled", "simclr2"]
Colours = tuple[tuple[float, float, float], tuple[float, float, float]]

IMAGENET: Colours = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
SWAV: Colours = ((0.485, 0.456, 0.406), (0.228, 0.224, 0.225))  # facebookresearch/swav has 0.228, in training and in evaluation
AS_THEY_ARE: Colours = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
CIFAR_SOLO: Colours = ((0.4914, 0.4822, 0.4465), (0.247, 0.243, 0.261))
CIFAR_LEFTTHOMAS: Colours = ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))


@dataclass(frozen=True, kw_only=True)
class Layout:
    """One way to lay out a checkpoint. Names are those without ``WRAPPERS``; patterns must match a key from its beginning."""

    name: str
    of: str
    """Whose it is, in words."""
    at: tuple[tuple[str, ...], ...]
    """Where the weights lie, any of these: the names to follow from the outermost mapping."""
    prefix: str = ""
    """What the backbone's keys begin with."""
    naming: Naming = "torchvision"
    """What its layers are called after the prefix; see ``NAMINGS``."""
    left: tuple[str, ...] = ()
    """What else is known to lie there, and is left: heads, momentum branches, queues."""
    marks: tuple[str, ...] = ()
    """What must be there for the layout to be recognised; not asked for where it is named."""
    colours: Colours = IMAGENET
    """Mean and standard deviation that images are normalised by, values 0..1."""
    size: int = 224
    """Side of the images it was trained for, pixels, with a 7x7 first convolution."""
    stem: Literal["cifar", "cifar-padded"] | None = None
    """What a 3x3 first convolution means here; None: the project does not settle it."""
    small: tuple[int, Colours] = (32, IMAGENET)
    """Size and colours with a 3x3 first convolution."""


WRAPPERS = ("module", "_orig_mod")
"""Parts of a key that DistributedDataParallel and torch.compile put into it, at any place."""

_STATE = (("state_dict",),)
_HEAD = r"fc\.(weight|bias)$"
_SOLO = (
    r"(momentum_)?(classifier|projector|predictor|head)\d*\.",
    r"queue(_y|_ptr|_index)?$",
    r"prototypes\.",
    r"transformer_encoder\.",
    r"local_memory_\w+$",
)
_LIGHTLY = (
    r"(student_|teacher_|key_)?(projection|prediction)_head(_global|_local)?(_momentum)?\.",
    r"(backbone_momentum|key_backbone|teacher_backbone|student_backbone)\.",
    r"prototypes\.",
    r"online_classifier\.",
    r"criterion\.",
    r"queues?\.",
    r"memory_bank\.",
)

LAYOUTS = (
    Layout(
        name="simsiam",
        of="facebookresearch/simsiam",
        at=_STATE,
        prefix="encoder.",
        left=(r"encoder\.fc\.\d+\.", r"predictor\.\d+\."),
        marks=(r"encoder\.fc\.\d+\.", r"predictor\.\d+\."),
    ),
    Layout(
        name="moco",
        of="facebookresearch/moco, v1 and v2",
        at=_STATE,
        prefix="encoder_q.",
        left=(r"encoder_q\.fc\.", r"encoder_k\.", r"queue(_ptr)?$"),
    ),
    Layout(
        name="swav",
        of="facebookresearch/swav: SwAV and DeepCluster-v2, of any width",
        at=((), ("state_dict",)),
        left=(r"projection_head\.", r"prototypes\."),
        marks=(r"projection_head\.",),
        colours=SWAV,
    ),
    Layout(
        name="byol-lucidrains",
        of="lucidrains/byol-pytorch, the learner's whole state",
        at=((), ("state_dict",)),
        prefix="online_encoder.net.",
        left=(r"net\.", r"online_encoder\.net\.fc\.", r"online_encoder\.projector\.", r"online_predictor\.", r"target_encoder\."),
    ),
    Layout(
        name="byol-sthalles",
        of="sthalles/PyTorch-BYOL",
        at=(("online_network_state_dict",),),
        prefix="encoder.",
        naming="children",
        left=(r"projetion\.net\.",),
        colours=AS_THEY_ARE,
        size=96,
    ),
    Layout(
        name="simclr-sthalles",
        of="sthalles/SimCLR",
        at=_STATE,
        prefix="backbone.",
        left=(r"backbone\.fc\.[02]\.",),
        marks=(r"backbone\.fc\.2\.",),
        colours=AS_THEY_ARE,
        size=96,
    ),
    Layout(
        name="simclr-leftthomas",
        of="leftthomas/SimCLR",
        at=((),),
        prefix="f.",
        naming="unpooled",
        left=(r"g\.\d\.", r"(.*\.)?total_(ops|params)$"),
        stem="cifar",
        small=(32, CIFAR_LEFTTHOMAS),
    ),
    Layout(
        name="simclr-spijkervet",
        of="Spijkervet/SimCLR",
        at=((),),
        prefix="encoder.",
        left=(r"projector\.[02]\.weight$",),
        marks=(r"projector\.0\.weight$",),
        colours=AS_THEY_ARE,
    ),
    Layout(
        name="simclr-separius",
        of="google-research/simclr as Separius/SimCLRv2-Pytorch converts it, without selective kernels",
        at=(("resnet",),),
        prefix="net.",
        naming="simclr2",
        left=(_HEAD,),
        colours=AS_THEY_ARE,
    ),
    Layout(
        name="lightly",
        of="lightly, backbone = nn.Sequential(*resnet.children()) without the last",
        at=((), ("state_dict",)),
        prefix="backbone.",
        naming="children",
        left=_LIGHTLY,
    ),
    Layout(
        name="lightly-backbone",
        of="lightly, that backbone's own state",
        at=((), ("state_dict",)),
        naming="children",
    ),
    Layout(
        name="lightly-resnet",
        of="lightly, backbone = torchvision's ResNet without its classifier",
        at=((), ("state_dict",)),
        prefix="backbone.",
        left=_LIGHTLY,
        marks=(r"(projection_head|online_classifier)\.",),
    ),
    Layout(
        name="solo-learn",
        of="solo-learn",
        at=_STATE,
        prefix="backbone.",
        left=(*_SOLO, r"momentum_backbone\."),
        marks=(r"classifier\.",),
        stem="cifar-padded",
        small=(32, CIFAR_SOLO),
    ),
    Layout(
        name="solo-learn-encoder",
        of="solo-learn, older versions",
        at=_STATE,
        prefix="encoder.",
        left=(*_SOLO, r"momentum_encoder\."),
        marks=(r"classifier\.",),
        stem="cifar-padded",
        small=(32, CIFAR_SOLO),
    ),
    Layout(
        name="vissl",
        of="VISSL",
        at=(("classy_state_dict", "base_model", "model", "trunk"),),
        prefix="_feature_blocks.",
    ),
    Layout(
        name="mmpretrain",
        of="mmpretrain, mmselfsup and mmcls",
        at=_STATE,
        prefix="backbone.",
        left=(
            r"(neck|head|data_preprocessor|target_generator|memory_bank)\.",
            r"(encoder_[qk]|online_net|target_net)\.",
            r"queue(_ptr)?$",
        ),
        marks=(r"(neck|head|data_preprocessor)\.",),
    ),
    Layout(
        name="torchvision",
        of="a plain state dict by torchvision's names: torchvision, timm, mmselfsup's extracted backbones, stopgrad's exports",
        at=((), ("state_dict",), ("model",)),
        left=(_HEAD,),
    ),
)
"""Sources: the projects' own files at the commits that docs/checkpoints.md lists."""

NAMES = tuple(layout.name for layout in LAYOUTS)


def unwrapped(key: str) -> str:
    """Return ``key`` without the parts that ``WRAPPERS`` put into it."""
    return ".".join(part for part in key.split(".") if part not in WRAPPERS)


def known_left(layout: Layout, key: str) -> bool:
    """Whether ``layout`` knows ``key`` as something beside the backbone."""
    return any(re.match(pattern, key) for pattern in layout.left)


def marked(layout: Layout, keys: list[str]) -> bool:
    """Whether ``keys`` hold all by which ``layout`` is recognised."""
    return all(any(re.match(mark, key) for key in keys) for mark in layout.marks)


def _children(first: int) -> Callable[[str], str | None]:
    """Return the naming of a ResNet's children by number: convolution and BN are 0 and 1, the stages begin at ``first``."""
    parts = {"0": "conv1", "1": "bn1"} | {str(first + i): f"layer{i + 1}" for i in range(4)}

    def renamed(key: str) -> str | None:
        number, _, rest = key.partition(".")
        return f"{parts[number]}.{rest}" if number in parts else None

    return renamed


def _simclr2(key: str) -> str | None:
    """Return the name of a layer of SimCLR v2's ResNet: in net.0 the stem, in net.1 to net.4 the stages, of which a block is
    net.(0, 2, 4), convolutions, and net.(1, 3, 5), BN and ReLU; its shortcut is ``projection``."""
    if stem := re.fullmatch(r"0\.(0|1\.0)\.(\w+)", key):
        return f"{'conv1' if stem[1] == '0' else 'bn1'}.{stem[2]}"
    block = re.fullmatch(r"([1-4])\.blocks\.(\d+)\.(?:net\.([024]|[135]\.0)|projection\.(shortcut|bn\.0))\.(\w+)", key)
    if block is None:
        return None
    stage, number, layer, shortcut, last = block.groups()
    if shortcut:
        return f"layer{stage}.{number}.downsample.{0 if shortcut == 'shortcut' else 1}.{last}"
    return f"layer{stage}.{number}.{'conv' if layer in '024' else 'bn'}{int(layer[0]) // 2 + 1}.{last}"


NAMINGS: dict[Naming, Callable[[str], str | None]] = {
    "torchvision": lambda key: key,
    "children": _children(4),  # after ReLU and max-pool, 2 and 3, which have no weights
    "unpooled": _children(3),  # there is no max-pool
    "simclr2": _simclr2,
}
"""From a project's name of a layer, after the prefix, to torchvision's; None for what is no layer of a ResNet."""
