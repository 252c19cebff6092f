"""The recipes for one's own images: every choice made from what the preflight found, and said with its reason.

What concerns the images is chosen here; what concerns the method, by ``fitted`` in the method's module.
"""

import math
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Literal

from stopgrad.config import METHODS, Data, Found, Net, Run, Train, View
from stopgrad.errors import UserError
from stopgrad.recipes.fit import Fitted, Known

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
    """Field of the run (and, after commas, others that the line speaks of) to what was chosen for it and why."""


def images(found: Found, machine: Machine, method: str = "simsiam", epochs: int | None = None, batch: int | None = None) -> Chosen:
    """Return ``method``'s published setting fitted to the images and the machine. See ``Chosen.reasons`` for what and why.

    ``epochs`` and ``batch``: where they are asked for, and not to be chosen; what depends on them is fitted to them.
    Raises UserError when the method needs labels and there are none.
    """
    refuse_unlabelled(method, found.classes)
    reasons: dict[str, str] = {}
    kinds = {count for count, _ in found.channels}
    channels = 3 if kinds == {1, 3} else found.channels[0][0]  # grey among colour is read as colour; else the most frequent
    size = _size(found, machine, reasons)
    net = _net(found, machine, size, reasons)
    batch = batch or _batch(found, machine)
    epochs = epochs or _epochs(found, machine)
    known = Known(images=found.images, view=_view(size), batch=batch, epochs=epochs)
    fitted: Fitted = import_module(f"stopgrad.recipes.{method}").fitted(known)
    reasons["train.batch"] = f"batch {batch}: {fitted.about_batch}; {found.images} images give {known.steps} steps an epoch"
    limit = "" if machine.gpu else ", what is practical without a GPU; more epochs help"
    reasons["train.epochs"] = f"{epochs} epochs: {epochs * found.images / 1e6:.2g} million images seen{limit}"
    reasons |= fitted.reasons
    views = _coloured(fitted.views, channels, reasons)
    short_side = _short_side(found, views, reasons)
    reasons["data.mean,data.std,data.channels"] = f"mean and std measured on a sample of your images; {channels} channel{'s' if channels > 1 else ''}"
    data = Data(
        source=found.source,
        channels=channels,
        mean=_rounded(found.mean, channels),
        std=tuple(max(s, 1e-3) for s in _rounded(found.std, channels)),
        size=size,
        short_side=short_side,
    )
    train = Train(epochs=epochs, batch=batch, monitor_every=max(1, epochs // 100), bn=fitted.bn, bn_splits=fitted.bn_splits)
    recipe = name_of(method)
    return Chosen(Run(recipe=recipe, data=data, views=views, net=net, method=fitted.method, optim=fitted.optim, train=train), reasons)


def refuse_unlabelled(method: str, classes: int) -> None:
    """Raise UserError when ``method`` needs labels, and there are none."""
    if METHODS[method].needs_labels and not classes:
        raise UserError(f"{method}: needs labels, and these images have none; put every class in a folder of its own, or give a list")


def with_method(run: Run, images: int, method: str) -> Chosen:
    """Return ``run`` with its data, backbone, first view and length as they are, and all that is ``method``'s fitted to them."""
    known = Known(images=images, view=run.views[0], batch=run.train.batch, epochs=run.train.epochs)
    fitted: Fitted = import_module(f"stopgrad.recipes.{method}").fitted(known)
    reasons = dict(fitted.reasons)
    views = _coloured(fitted.views, run.data.channels, reasons)
    train = replace(run.train, bn=fitted.bn, bn_splits=fitted.bn_splits)
    return Chosen(replace(run, recipe=f"{run.recipe}+{method}", views=views, method=fitted.method, optim=fitted.optim, train=train), reasons)


def name_of(method: str) -> str:
    """Return the name of the recipe: ``NAME/images``, and of SimSiam's, which is meant where none is named, ``images``."""
    return "images" if method == "simsiam" else f"{method}/images"


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
    reasons["net.backbone,net.stem,net.width"] = f"{backbone} with {stems[stem]}{lean}"
    return Net(backbone=backbone, stem=stem, width=width, zero_init_residual=stem == "imagenet")


def _batch(found: Found, machine: Machine) -> int:
    most = 512 if machine.gpu else 256
    return min(most, 1 << int(math.log2(max(found.images / 8, 8))), max(2, found.images))


def _epochs(found: Found, machine: Machine) -> int:
    seen, least, most = (40_000_000, 100, 800) if machine.gpu else (1_000_000, 20, 200)
    return min(max(round(seen / found.images), least), most)


def _view(size: int) -> View:
    return View(
        size=size,
        scale=(SMALLEST_CROP, 1.0),
        flip=0.5,
        jitter=(0.4, 0.4, 0.4, 0.1),
        jitter_p=0.8,
        grey=0.2,
        blur=0.5 if size >= 96 else 0.0,
    )


def _coloured(views: tuple[View, ...], channels: int, reasons: dict[str, str]) -> tuple[View, ...]:
    """Return ``views``, without what only RGB images have where these are not; and say what they lack."""
    jittered = any(view.jitter_p for view in views)
    if channels != 3 and jittered:
        reasons["views.jitter,views.grey"] = "no saturation, hue or greyscale in the views: the images are not RGB"
    if jittered and not any(view.blur for view in views):
        reasons["views.blur,views.size"] = "no blur in the views: they are small (SimSiam, App. D)"
    return views if channels == 3 else tuple(replace(view, jitter=(*view.jitter[:2], 0.0, 0.0), grey=0.0) for view in views)


def _short_side(found: Found, views: tuple[View, ...], reasons: dict[str, str]) -> int | None:
    """Return the shorter side at which the smallest crop still has as many pixels as the view: more would only be thrown away."""
    enough, smallest, size = max((math.ceil(view.size / math.sqrt(view.scale[0]) / 32) * 32, view.scale[0], view.size) for view in views)
    if found.short_side[2] <= enough:
        return None
    fills = f"the smallest crop, {smallest:.0%} of the area, still fills a view of {size}"
    reasons["data.short_side,views.size,views.scale"] = f"images are read at a shorter side of at most {enough}: {fills}"
    return enough


def _rounded(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    """Four digits are enough to state, and make the configuration independent of the last bit of a mean."""
    if len(values) not in (1, channels):
        values = (sum(values) / len(values),)
    return tuple(round(v, 4) for v in values)
