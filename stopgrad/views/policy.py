"""AutoAugment: the policies found on ImageNet and CIFAR-10, and their operations. Cubuk et al., arXiv:1805.09501, appendix.

A policy is 25 sub-policies of two operations, each with its probability and its level, 0 to 9. What becomes of a view is drawn as two acts: an act
is an operation at a level with a sign, as one number. The operations are torchvision's, on 8 bits, with the nearest pixel, and black from outside.
"""

import math
from functools import cache

import torch
from torch import Tensor

from stopgrad.sending import send

IMAGENET = """
    Posterize 4 8 Rotate 6 9, Solarize 6 5 AutoContrast 6 0, Equalize 8 0 Equalize 6 0, Posterize 6 7 Posterize 6 6, Equalize 4 0 Solarize 2 4,
    Equalize 4 0 Rotate 8 8, Solarize 6 3 Equalize 6 0, Posterize 8 5 Equalize 10 0, Rotate 2 3 Solarize 6 8, Equalize 6 0 Posterize 4 6,
    Rotate 8 8 Color 4 0, Rotate 4 9 Equalize 6 0, Equalize 0 0 Equalize 8 0, Invert 6 0 Equalize 10 0, Color 6 4 Contrast 10 8,
    Rotate 8 8 Color 10 2, Color 8 8 Solarize 8 7, Sharpness 4 7 Invert 6 0, ShearX 6 5 Equalize 10 0, Color 4 0 Equalize 6 0,
    Equalize 4 0 Solarize 2 4, Solarize 6 5 AutoContrast 6 0, Invert 6 0 Equalize 10 0, Color 6 4 Contrast 10 8, Equalize 8 0 Equalize 6 0
"""
CIFAR10 = """
    Invert 1 0 Contrast 2 6, Rotate 7 2 TranslateX 3 9, Sharpness 8 1 Sharpness 9 3, ShearY 5 8 TranslateY 7 9, AutoContrast 5 0 Equalize 9 0,
    ShearY 2 7 Posterize 3 7, Color 4 3 Brightness 6 7, Sharpness 3 9 Brightness 7 9, Equalize 6 0 Equalize 5 0, Contrast 6 7 Sharpness 6 5,
    Color 7 7 TranslateX 5 8, Equalize 3 0 AutoContrast 4 0, TranslateY 4 3 Sharpness 2 6, Brightness 9 6 Color 2 8, Solarize 5 2 Invert 0 0,
    Equalize 2 0 AutoContrast 6 0, Equalize 2 0 Equalize 6 0, Color 9 9 Equalize 6 0, AutoContrast 8 0 Solarize 2 8, Brightness 1 3 Color 7 0,
    Solarize 4 5 AutoContrast 9 0, TranslateY 9 9 TranslateY 7 9, AutoContrast 9 0 Solarize 8 3, Equalize 8 0 Invert 1 0,
    TranslateY 7 9 AutoContrast 9 0
"""
"""Operation, probability in tenths, level (0 where there is none)."""
POLICIES = {"imagenet": IMAGENET, "cifar10": CIFAR10}

SIGNED = ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate", "Brightness", "Color", "Contrast", "Sharpness")
OPERATIONS = (*SIGNED, "Posterize", "Solarize", "AutoContrast", "Equalize", "Invert")
TOP = 9
"""The highest level."""
_LEVELS = 2 * TOP + 1


def draw_acts(policy: str | None, u: Tensor) -> Tensor:
    """Return (N, 2) int64, the acts of N views, -1 for none; ``u`` (N, 5) in [0, 1): sub-policy, whether each is done, and each sign."""
    if policy is None:
        return torch.full((len(u), 2), -1)
    operations, chances, levels = _table(policy)
    which = (u[:, 0] * len(operations)).long()
    signs = torch.where((operations < len(SIGNED))[which] & (u[:, 3:5] < 0.5), -1, 1)
    acts = operations[which] * _LEVELS + levels[which] * signs + TOP
    return torch.where(u[:, 1:3] < chances[which], acts, -1)


def follow(x: Tensor, acts: Tensor) -> Tensor:
    """Return x (N, C, H, W) float32 in 0..1, C 1 or 3, after the ``acts`` (N, 2), which are on the CPU; rounded to 8 bits where there is any.

    Each image is a function of its own pixels and acts alone: those that are to be treated alike are treated together only to save time.
    """
    some = (acts >= 0).any(1).nonzero().squeeze(1)
    if not len(some):
        return x
    turns = [(act, (turn == act).nonzero().squeeze(1)) for turn in acts[some].unbind(1) for act in torch.unique(turn[turn >= 0]).tolist()]
    there, *alike = send([some, *(rows for _, rows in turns)], x.device)
    pixels = (x[there] * 255).round_().clamp_(0, 255).to(torch.uint8)
    for (act, _), rows in zip(turns, alike, strict=True):
        pixels[rows] = _operate(pixels[rows], OPERATIONS[act // _LEVELS], act % _LEVELS - TOP)
    return x.index_copy(0, there, pixels.float().div_(255))


@cache
def _table(policy: str) -> tuple[Tensor, Tensor, Tensor]:
    """Operations, probabilities and levels, each (25, 2)."""
    words = [line.split() for line in POLICIES[policy].split(",")]
    operations = [[OPERATIONS.index(line[0]), OPERATIONS.index(line[3])] for line in words]
    chances, levels = ([[int(line[i]), int(line[i + 3])] for line in words] for i in (1, 2))
    return torch.tensor(operations), torch.tensor(chances, dtype=torch.float64) / 10, torch.tensor(levels)


def _operate(x: Tensor, name: str, level: int) -> Tensor:
    """Return x (N, C, H, W) uint8 after the operation ``name`` at ``level``, -9 to 9: shares of the paper's ranges, translation's of 331 pixels."""
    import torchvision.transforms.v2.functional as tv  # takes seconds, and only policies need it

    made = x
    match name:
        case "ShearX":
            made = _affine(x, shear=(_at(level, 0.3), 0))
        case "ShearY":
            made = _affine(x, shear=(0, _at(level, 0.3)))
        case "TranslateX":
            made = _affine(x, moved=(_at(level, 150 / 331 * x.shape[-1]), 0))
        case "TranslateY":
            made = _affine(x, moved=(0, _at(level, 150 / 331 * x.shape[-2])))
        case "Rotate":
            made = tv.rotate(x, _at(level, 30.0))
        case "Brightness":
            made = tv.adjust_brightness(x, 1 + _at(level, 0.9))
        case "Color":
            made = tv.adjust_saturation(x, 1 + _at(level, 0.9))
        case "Contrast":
            made = tv.adjust_contrast(x, 1 + _at(level, 0.9))
        case "Sharpness":
            made = tv.adjust_sharpness(x, 1 + _at(level, 0.9))
        case "Posterize":
            made = tv.posterize(x, bits=8 - round(_at(level, 4.0)))
        case "Solarize":
            made = tv.solarize(x, threshold=255 - _at(level, 255.0))
        case "AutoContrast":
            made = tv.autocontrast(x)
        case "Equalize":
            made = tv.equalize(x)
        case "Invert":
            made = tv.invert(x)
    return made


def _at(level: int, most: float) -> float:
    """Return the strength at ``level``, ``most`` at the highest: to the last bit as torchvision rounds it, for the operations cut to whole values."""
    return math.copysign(float(torch.linspace(0.0, most, TOP + 1)[abs(level)]), level)


def _affine(x: Tensor, shear: tuple[float, float] = (0, 0), moved: tuple[float, float] = (0, 0)) -> Tensor:
    """Slant by tangents, from the upper left corner, and move by whole pixels."""
    import torchvision.transforms.v2.functional as tv

    slant = [math.degrees(math.atan(s)) for s in shear]
    made: Tensor = tv.affine(x, angle=0.0, translate=[int(m) for m in moved], scale=1.0, shear=slant, center=[0, 0] if any(shear) else None)
    return made
