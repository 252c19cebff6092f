"""A ResNet under the names of detectron2 (detectron2/modeling/backbone/resnet.py), for Faster and Mask R-CNN there."""

import re

from torch import Tensor

from stopgrad.config import Net
from stopgrad.errors import UserError
from stopgrad.nets.names import locate

DEPTHS = {"resnet18": 18, "resnet34": 34, "resnet50": 50, "resnet101": 101, "resnet152": 152}
"""What its MODEL.RESNETS.DEPTH may be."""

_RULES = (
    (r"^conv1\.", "stem.conv1."),
    (r"^bn1\.", "stem.conv1.norm."),
    (r"\.bn(\d)\.", r".conv\1.norm."),
    (r"\.downsample\.0\.", ".shortcut."),
    (r"\.downsample\.1\.", ".shortcut.norm."),
)


def depth_of(net: Net, channels: int) -> int:
    """Return the depth of ``net`` there. Raises UserError for networks that it does not have."""
    library, name = locate(net.backbone)
    if library == "timm" or name not in DEPTHS:
        raise UserError(f"--to detectron2: {net.backbone} is not among its ResNets ({', '.join(DEPTHS)}); use --to safetensors")
    if (net.stem, net.width, channels) != ("imagenet", 64, 3):
        raise UserError(
            f"--to detectron2: this {name} has stem {net.stem}, width {net.width} and {channels} channels, its own have stem imagenet, "
            "width 64 and 3; use --to safetensors"
        )
    return DEPTHS[name]


def renamed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return a ResNet's state under detectron2's names: stem, res2 to res5, conv1.norm, shortcut. BN's counts of batches are left out."""
    return {_renamed(name): value for name, value in state.items() if not name.endswith("num_batches_tracked")}


def configuration(out: str, depth: int, mean: list[float], std: list[float]) -> list[str]:
    """Return code that makes the configuration which loads ``out``, as MoCo's detectors have it: all layers trained, BN synchronised."""
    narrow = ["cfg.MODEL.RESNETS.RES2_OUT_CHANNELS = 64"] if depth < 50 else []
    return [
        "from detectron2.config import get_cfg",
        "cfg = get_cfg()",
        f"cfg.MODEL.WEIGHTS = {out!r}",
        f"cfg.MODEL.RESNETS.DEPTH = {depth}",
        *narrow,
        "cfg.MODEL.RESNETS.STRIDE_IN_1X1 = False",
        "cfg.MODEL.RESNETS.NORM = 'SyncBN'",
        "cfg.MODEL.BACKBONE.FREEZE_AT = 0",
        f"cfg.MODEL.PIXEL_MEAN = {[round(255 * v, 4) for v in mean]}",
        f"cfg.MODEL.PIXEL_STD = {[round(255 * v, 4) for v in std]}",
        "cfg.INPUT.FORMAT = 'RGB'",
    ]


def _renamed(name: str) -> str:
    for pattern, replacement in _RULES:
        name = re.sub(pattern, replacement, name)
    return re.sub(r"^layer(\d)", lambda match: f"res{int(match[1]) + 1}", name)
