"""Views a second from decoded images, ours beside the peers' pipelines.

Ours counts everything from the random key to the normalised batch. Images at 32x32 are the bundled Fashion-MNIST, padded, in three channels;
at 224 photographs of coloured noise, 500x375 pixels, decoded.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import count, cycle, islice
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks.images import large_images, small_images
from benchmarks.measure import Case, compare, timed
from benchmarks.page import rates
from benchmarks.peers import lacking
from benchmarks.pipelines import MEAN, STD, albumentations_view, kornia_view, pil_view
from stopgrad.config import View
from stopgrad.images.planes import Planes
from stopgrad.images.pool import Pool
from stopgrad.views.render import render
from stopgrad.views.sample import ViewParams, sample, uniforms

CIFAR = View(size=32, scale=(0.2, 1.0), flip=0.5, jitter=(0.4, 0.4, 0.4, 0.1), jitter_p=0.8, grey=0.2, blur=0.0)
IMAGENET = replace(CIFAR, size=224, blur=0.5)
PIL = "torchvision on PIL"
NOTE = (
    "torchvision on PIL is the official code's pipeline. albumentations and kornia resize without antialiasing, kornia draws one order of "
    "the colour jitter a batch; ours resizes with antialiasing, as PIL does, and draws an order for every image."
)


def each(images: list[Planes], one: Callable[[Any], object], views: int) -> Callable[[], object]:
    """Return a function that makes ``views`` views with ``one``, image by image (H, W, C)."""
    upright = cycle([np.ascontiguousarray(image.transpose(1, 2, 0)) for image in images])
    return lambda: [one(image) for image in islice(upright, views)]


def pil_case(images: list[Planes], view: View, views: int) -> Callable[[], object]:
    """Return a function that makes ``views`` views with the official pipeline, one at a time."""
    pipeline, decoded = pil_view(view), cycle([Image.fromarray(image.transpose(1, 2, 0)) for image in images])
    return lambda: [pipeline(image) for image in islice(decoded, views)]


def kornia_case(images: list[Planes], view: View, views: int, batch: int, device: torch.device) -> Callable[[], object]:
    """Return a function that makes ``views`` views with kornia in batches, from uint8 images on ``device``."""
    pipeline, held = kornia_view(view), torch.from_numpy(np.stack(images)).to(device)
    steps = count()

    def one_step() -> Tensor:
        step = next(steps)
        rows = torch.arange(step * batch, (step + 1) * batch) % len(held)
        return pipeline(held[rows.to(device)].float() / 255)

    return lambda: [one_step() for _ in range(views // batch)]


def our_case(pool: Pool, view: View, views: int, batch: int, together: int = 1) -> Callable[[], object]:
    """Return a function that makes ``views`` views in batches of ``batch``; ``together``: views of one batch rendered in one call."""
    steps = count()

    def params(step: int, i: int, rows: Tensor) -> ViewParams:
        return sample(view, uniforms(0, step, i, batch), pool.heights[rows], pool.widths[rows])

    def one_step() -> object:
        step = next(steps)
        rows = torch.arange(step * batch, (step + 1) * batch) % len(pool)
        first, *others = [params(step, i, rows) for i in range(together)]
        for other in others:
            first = first.concat(other)
        return render(pool, rows.repeat(together), first, MEAN, STD)

    return lambda: [one_step() for _ in range(views // (batch * together))]


def cases(images: list[Planes], view: View, batches: tuple[int, ...], few: int, many: int, device: torch.device) -> Mapping[str, Case | None]:
    """Return everybody's case: peers make ``few`` views a turn, ours ``many``; batched ones in every size of ``batches``."""
    pool = Pool.from_arrays(images).to(device)
    found: dict[str, Case | None] = {PIL: timed(pil_case(images, view, few), few, device)}
    found["albumentations on OpenCV"] = None if lacking("albumentations") else timed(each(images, albumentations_view(view), few), few, device)
    for batch in batches:
        whole = max(few, batch)
        peer = None if lacking("kornia") else timed(kornia_case(images, view, whole, batch, device), whole // batch * batch, device)
        found[f"kornia, batch {batch}"] = peer
    for batch in batches:
        found[f"stopgrad, batch {batch}"] = timed(our_case(pool, view, many, batch), many, device)
        found[f"stopgrad, batch {batch}, two views a call"] = timed(our_case(pool, view, many, batch, together=2), many, device)
    return found


def part(device: torch.device, quick: bool) -> list[str]:
    """Measure, and return the lines of this part of the page."""
    turns, small, large = (1, small_images(64), large_images(4)) if quick else (7, small_images(), large_images(64))
    cifar = cases(small, CIFAR, (8,) if quick else (128, 512), 8 if quick else 512, 16 if quick else 4096, device)
    imagenet = cases(large, IMAGENET, (2,) if quick else (64,), 2 if quick else 64, 4 if quick else 128, device)
    lines = ["## Views from decoded images, 32x32 (SimSiam's CIFAR recipe)", "", NOTE, "", *rates(compare(cifar, PIL, turns), "views/s", "PIL")]
    return [*lines, "## Views from decoded images, 500x375 to 224 (ImageNet recipe)", "", *rates(compare(imagenet, PIL, turns), "views/s", "PIL")]
