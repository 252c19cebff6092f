"""Images handed over in memory: NumPy arrays, torch tensors, or anything that NumPy can take an array of."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stopgrad.errors import UserError
from stopgrad.images.place import ARRAYS
from stopgrad.images.planes import Planes
from stopgrad.images.source import ArraySource, Labels, Names


def from_arrays(images: Any, labels: ArrayLike | None = None, classes: Sequence[str] | None = None, name: str = ARRAYS) -> ArraySource:
    """Return a source of images in memory, uint8 or uint16; arrays that are planar already are not copied.

    images: one array (N, H, W), (N, H, W, C) or (N, C, H, W), or a sequence of arrays (H, W), (H, W, C) or (C, H, W) of any sizes.
    Of the first and the last axis of an image the shorter one is the channels; they must differ. labels: (N,) whole numbers from 0,
    also as a tuple (images, labels) in place of the images; classes: their names, 0 first (by default the numbers).
    Raises UserError for other types, shapes and lengths.
    """
    if labels is None and _with_labels(images):
        images, labels = images
    one = not isinstance(images, list | tuple)
    planes: Planes | list[Planes] = _planar(images, 1) if one else [_planar(image, 0) for image in images]
    labels, classes = _labelled(labels, classes, len(planes), name)
    return ArraySource(name=name, names=Names(map(str, range(len(planes)))), labels=labels, classes=classes, images=planes)


def _with_labels(images: Any) -> bool:
    """Whether this is (images, labels), and not two images: no image has one axis, no image beside another has four."""
    if not isinstance(images, tuple) or len(images) != 2:
        return False
    second = images[1]
    flat = np.ndim(second[0]) == 0 if isinstance(second, list | tuple) and second else getattr(second, "ndim", 0) == 1
    return flat or getattr(images[0], "ndim", 0) == 4


def _planar(image: Any, leading: int) -> Planes:
    """Return an array as ``leading`` axes, then (C, H, W), C-contiguous."""
    array = _array(image)
    if array.dtype not in (np.uint8, np.uint16):
        raise UserError(f"arrays: {array.dtype} of shape {array.shape}; hand over uint8 (0 to 255) or uint16 (0 to 65535)")
    if 0 in array.shape[leading:]:
        raise UserError(f"arrays: of shape {array.shape} there are no pixels; leave empty images out")
    if array.ndim == leading + 2:
        return np.ascontiguousarray(np.expand_dims(array, leading))
    if array.ndim != leading + 3 or array.shape[leading] == array.shape[-1]:
        raise UserError(f"arrays: of shape {array.shape} the channels cannot be told; hand over (H, W, C) or (C, H, W) images, C the shorter axis")
    return np.ascontiguousarray(array if array.shape[leading] < array.shape[-1] else np.moveaxis(array, -1, leading))


def _array(values: Any) -> NDArray[Any]:
    try:
        return np.asarray(values)
    except (TypeError, ValueError) as error:  # a tensor on a GPU; a nested list of unequal lengths
        raise UserError(f"arrays: no array can be made of {type(values).__name__} ({error})") from None


MOST_CLASSES = 100_000
"""Classes without names may be so many; where there are more images than that, as many as images."""


def _labelled(labels: ArrayLike | None, classes: Sequence[str] | None, images: int, name: str) -> tuple[Labels | None, tuple[str, ...] | None]:
    if labels is None:
        return None, None
    found = _array(labels)
    if found.shape != (images,) or found.dtype.kind not in "iu":
        raise UserError(f"{name}: labels are {found.dtype} of shape {found.shape}; hand over {images} whole numbers from 0, one an image")
    found = found.astype(np.int64)
    lowest, highest = int(found.min(initial=0)), int(found.max(initial=-1))
    if lowest < 0 or (classes is None and highest >= max(images, MOST_CLASSES)):  # before so many names are made
        raise UserError(f"{name}: labels from {lowest} to {highest} for {images} images; number the classes 0, 1, 2 and so on")
    names = tuple(classes) if classes is not None else tuple(map(str, range(highest + 1)))
    if highest >= len(names):
        raise UserError(f"{name}: labels from {lowest} to {highest}, but {len(names)} classes from 0")
    return found, names
