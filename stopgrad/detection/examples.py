"""Images and objects as a detector sees them: another size and perhaps mirrored, by (seed, iteration, position) alone."""

import functools
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from stopgrad.config.detection import Detection
from stopgrad.detection.masks import mask_of
from stopgrad.detection.pictures import Picture
from stopgrad.errors import UserError
from stopgrad.images.bad import printable
from stopgrad.keys import generator


@dataclass(frozen=True, eq=False)
class Colours:
    """How a backbone wants its images."""

    channels: int
    mean: tuple[float, ...]
    """Taken off every channel (values 0..1); one value, or one a channel."""
    std: tuple[float, ...]
    """Divides every channel after that."""


def chosen(seed: int, images: int, batch: int, iteration: int) -> list[int]:
    """Return the ``batch`` images of ``iteration``, of ``images``: all in random order, and again, across the ends of batches."""
    places = range(iteration * batch, (iteration + 1) * batch)
    return [int(_order(seed, images, place // images)[place % images]) for place in places]


@functools.lru_cache(maxsize=4)
def _order(seed: int, images: int, epoch: int) -> NDArray[np.int64]:
    return generator("detection order", seed, epoch).permutation(images)


def drawn(settings: Detection, iteration: int, position: int) -> tuple[int, bool]:
    """Return the shorter side, and whether it is mirrored, of the image at ``position`` in the batch of ``iteration``."""
    g = generator("detection view", settings.seed, iteration, position)
    return int(g.choice(settings.short_sides)), bool(g.random() < 0.5)


def resized(height: int, width: int, short_side: int, longest: int) -> tuple[int, int]:
    """Return the size with that shorter side, or where the longer one would be more than ``longest``, with that one."""
    factor = min(short_side / min(height, width), longest / max(height, width))
    return max(1, round(height * factor)), max(1, round(width * factor))


def image_of(picture: Picture, colours: Colours, size: tuple[int, int]) -> Tensor:
    """Return an image as (C, *size), float32, normalised. Raises UserError, naming it, when it cannot be read."""
    planes = picture.pixels(colours.channels)
    values = torch.from_numpy(planes.astype(np.float32) / np.iinfo(planes.dtype).max)
    values = F.interpolate(values[None], size, mode="bilinear", align_corners=False, antialias=True)[0]
    mean, std = (torch.tensor(v, dtype=torch.float32).reshape(-1, 1, 1) for v in (colours.mean, colours.std))
    return (values - mean) / std


def example(picture: Picture, settings: Detection, colours: Colours, iteration: int, position: int) -> tuple[Tensor, dict[str, Tensor]]:
    """Return a training image, normalised, and its objects as ``Detector`` takes them. Crowds are left out.

    Raises UserError, naming the image, when it or an outline cannot be read.
    """
    short_side, mirrored = drawn(settings, iteration, position)
    height, width = resized(picture.height, picture.width, short_side, settings.max_side)
    image = image_of(picture, colours, (height, width))
    taken = ~picture.crowd
    boxes = torch.from_numpy(picture.boxes[taken] * np.array([width / picture.width, height / picture.height] * 2)).float()
    target = {"boxes": boxes, "labels": torch.from_numpy(picture.labels[taken] + 1)}
    if settings.masks:
        target["masks"] = _masks(picture, taken, height, width)
    if not mirrored:
        return image, target
    target["boxes"] = torch.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], 1)
    if settings.masks:
        target["masks"] = target["masks"].flip(-1)
    return image.flip(-1), target


def _masks(picture: Picture, taken: NDArray[np.bool_], height: int, width: int) -> Tensor:
    """Return the objects' masks, (n, height, width) uint8."""
    try:
        masks = [mask_of(picture.outlines[i], picture.height, picture.width) for i in np.flatnonzero(taken)]
    except ValueError as error:
        raise UserError(f"{printable(str(picture.path))}: an object of it cannot be drawn: {error}; mend its segmentation") from None
    if not masks:
        return torch.zeros(0, height, width, dtype=torch.uint8)
    whole = torch.from_numpy(np.stack(masks))[:, None]
    return F.interpolate(whole, (height, width), mode="nearest")[:, 0]
