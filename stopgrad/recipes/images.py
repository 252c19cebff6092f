"""The recipe for one's own images: every choice made from what the preflight found, and said with its reason."""

import math
from dataclasses import dataclass
from typing import Literal

from stopgrad.config import Data, Found, Net, Optim, Run, SimSiamConfig, Train, View

SMALLEST_CROP = 0.2
"""Share of the image in the smallest crop (SimSiam, Sec. 3)."""


@dataclass(frozen=True)
class Machine:
    """What the choice of size and length depends on."""

    gpu: bool
    cores: int


@dataclass(frozen=True)
class Chosen:
    """A run, and one line for every choice that was made for it."""

    run: Run
    reasons: dict[str, str]
    """Field of the run to what was chosen for it and why."""


def images(found: Found, machine: Machine) -> Chosen:
    """Return SimSiam's ImageNet recipe fitted to the images and the machine. See ``Chosen.reasons`` for what and why."""
    reasons: dict[str, str] = {}
    kinds = {count for count, _ in found.channels}
    channels = 3 if kinds == {1, 3} else found.channels[0][0]  # grey among colour is read as colour; else the most frequent
    size = _size(found, machine, reasons)
    net = _net(found, machine, size, reasons)
    batch = _batch(found, machine, reasons)
    epochs = _epochs(found, machine, reasons)
    view = _view(size, channels, reasons)
    short_side = _short_side(found, size, reasons)
    small = size <= 40
    reasons["data.mean"] = f"mean and std measured on a sample of your images; {channels} channel{'s' if channels > 1 else ''}"
    run = Run(
        recipe="images",
        data=Data(
            source=found.source,
            channels=channels,
            mean=_rounded(found.mean, channels),
            std=tuple(max(s, 1e-3) for s in _rounded(found.std, channels)),
            size=size,
            short_side=short_side,
        ),
        views=(view, view),
        net=net,
        method=SimSiamConfig(
            projector=(2048, 2048) if small else (2048, 2048, 2048),  # App. D for small images, Sec. 3 otherwise
            predictor_hidden=512,
            predictor="trained",
            predictor_fixed_lr=True,
            stop_gradient=True,
            projector_bn=(True, True),
            predictor_bn=(True, False),
            output_affine=False,
            similarity="cosine",
            symmetrised=True,
        ),
        optim=Optim(
            kind="sgd",
            lr=0.03 if small else 0.05,  # App. D, Sec. 3
            momentum=0.9,
            weight_decay=5e-4 if small else 1e-4,  # App. D, Sec. 3
            decay_bn_bias=True,
            warmup_epochs=0,
        ),
        train=Train(epochs=epochs, batch=batch, monitor_every=max(1, epochs // 100)),
    )
    return Chosen(run, reasons)


def _size(found: Found, machine: Machine, reasons: dict[str, str]) -> int:
    median = found.short_side[1]
    most = 224 if machine.gpu else 128
    size = max(8, median if median <= 40 else min(most, median // 8 * 8))
    limit = "the papers' size" if machine.gpu else "the most that is practical without a GPU"
    why = "the images' own size" if size == median else limit if size == most else "a multiple of 8"
    reasons["views.size"] = f"views of {size} pixels: {why}; the median shorter side is {median}"
    return size


def _net(found: Found, machine: Machine, size: int, reasons: dict[str, str]) -> Net:
    deep = machine.gpu and size >= 160 and found.images >= 100_000
    stem: Literal["imagenet", "cifar", "small"] = "imagenet" if size > 96 else "cifar" if machine.gpu and size <= 40 else "small"
    width = 64 if machine.gpu or size > 96 else 32
    backbone = "resnet50" if deep else "resnet18"
    stems = {"imagenet": "its 7x7 stem with max-pool", "cifar": "a 3x3 stem without stride for small images", "small": "a 3x3 stem with stride 2"}
    lean = "" if width == 64 else f", width {width}: a sixteenth of the arithmetic of the CIFAR net, for training without a GPU"
    reasons["net.backbone"] = f"{backbone} with {stems[stem]}{lean}"
    return Net(backbone=backbone, stem=stem, width=width, zero_init_residual=stem == "imagenet")


def _batch(found: Found, machine: Machine, reasons: dict[str, str]) -> int:
    most = 512 if machine.gpu else 256
    batch = min(most, 1 << int(math.log2(max(found.images / 8, 8))), max(2, found.images))
    steps = max(found.images // batch, 1)
    reasons["train.batch"] = f"batch {batch}: SimSiam is as good from 128 to 2048 (Table 2); {found.images} images give {steps} steps an epoch"
    return batch


def _epochs(found: Found, machine: Machine, reasons: dict[str, str]) -> int:
    seen, least, most = (40_000_000, 100, 800) if machine.gpu else (1_000_000, 20, 200)
    epochs = min(max(round(seen / found.images), least), most)
    limit = "" if machine.gpu else ", what is practical without a GPU; more epochs help"
    reasons["train.epochs"] = f"{epochs} epochs: {epochs * found.images / 1e6:.2g} million images seen{limit}"
    return epochs


def _view(size: int, channels: int, reasons: dict[str, str]) -> View:
    colour = channels == 3
    blur = 0.5 if size >= 96 else 0.0
    if not colour:
        reasons["views.jitter"] = "no saturation, hue or greyscale in the views: the images are not RGB"
    if not blur:
        reasons["views.blur"] = "no blur in the views: they are small (App. D)"
    return View(
        size=size,
        scale=(SMALLEST_CROP, 1.0),
        flip=0.5,
        jitter=(0.4, 0.4, 0.4, 0.1) if colour else (0.4, 0.4, 0.0, 0.0),
        jitter_p=0.8,
        grey=0.2 if colour else 0.0,
        blur=blur,
    )


def _short_side(found: Found, size: int, reasons: dict[str, str]) -> int | None:
    """Return the shorter side at which the smallest crop still has as many pixels as the view: more would only be thrown away."""
    enough = math.ceil(size / math.sqrt(SMALLEST_CROP) / 32) * 32
    if found.short_side[2] <= enough:
        return None
    reasons["data.short_side"] = (
        f"images are read at a shorter side of at most {enough}: the smallest crop, {SMALLEST_CROP:.0%} of the area, still fills a view"
    )
    return enough


def _rounded(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    """Four digits are enough to state, and make the configuration independent of the last bit of a mean."""
    if len(values) not in (1, channels):
        values = (sum(values) / len(values),)
    return tuple(round(v, 4) for v in values)
