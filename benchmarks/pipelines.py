"""Each peer's pipeline for a view, from what it works on to a normalised tensor.

torchvision's on PIL images is that of facebookresearch/simsiam (a7bc177). Those of kornia and albumentations say the same recipe with their own
operations; both resize without antialiasing and kornia draws one order of the colour jitter a batch, as they come.
"""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from torch import Tensor
from torchvision import transforms

from stopgrad.config import View

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
KERNEL = 13
"""Pixels of kornia's blur: three standard deviations to each side of the widest, where its cost grows with the kernel."""


def pil_blur(image: Image.Image) -> Image.Image:
    """The official code's GaussianBlur."""
    return image.filter(ImageFilter.GaussianBlur(radius=random.uniform(0.1, 2.0)))


def pil_view(view: View) -> transforms.Compose:
    """Return the official pipeline for CIFAR (no blur) or ImageNet, of one PIL image."""
    steps = [
        transforms.RandomResizedCrop(view.size, scale=view.scale),
        transforms.RandomApply([transforms.ColorJitter(*view.jitter)], p=view.jitter_p),
        transforms.RandomGrayscale(p=view.grey),
        *([transforms.RandomApply([pil_blur], p=view.blur)] if view.blur else []),
        transforms.RandomHorizontalFlip(p=view.flip),
        transforms.ToTensor(),
        transforms.Normalize(MEAN, STD),
    ]
    return transforms.Compose(steps)


def kornia_view(view: View) -> Callable[[Tensor], Tensor]:
    """Return kornia's pipeline, of a batch (N, 3, H, W) in 0..1; every image has parameters of its own."""
    import kornia.augmentation as K  # type: ignore[import-not-found]
    from torch import nn, no_grad

    brightness, contrast, saturation, hue = view.jitter
    steps = [
        K.RandomResizedCrop((view.size, view.size), scale=view.scale),
        K.ColorJitter(brightness, contrast, saturation, hue, p=view.jitter_p),
        K.RandomGrayscale(p=view.grey),
        *([K.RandomGaussianBlur((KERNEL, KERNEL), view.blur_sigma, p=view.blur)] if view.blur else []),
        K.RandomHorizontalFlip(p=view.flip),
        K.Normalize(MEAN, STD),
    ]
    pipeline = nn.Sequential(*steps)

    def views(batch: Tensor) -> Tensor:
        with no_grad():
            made: Tensor = pipeline(batch)
        return made

    return views


def albumentations_view(view: View) -> Callable[[NDArray[np.uint8]], Tensor]:
    """Return albumentations' pipeline on OpenCV, of one image (H, W, 3)."""
    import albumentations as A  # type: ignore[import-not-found]
    import cv2  # type: ignore[import-not-found]
    from albumentations.pytorch import ToTensorV2  # type: ignore[import-not-found]

    cv2.setNumThreads(1)
    brightness, contrast, saturation, hue = view.jitter
    steps: list[Any] = [
        A.RandomResizedCrop((view.size, view.size), scale=view.scale),
        A.ColorJitter(brightness, contrast, saturation, hue, p=view.jitter_p),
        A.ToGray(p=view.grey),
        *([A.GaussianBlur(blur_limit=0, sigma_limit=view.blur_sigma, p=view.blur)] if view.blur else []),
        A.HorizontalFlip(p=view.flip),
        A.Normalize(MEAN, STD),
        ToTensorV2(),
    ]
    pipeline = A.Compose(steps)

    def one(image: NDArray[np.uint8]) -> Tensor:
        made: Tensor = pipeline(image=image)["image"]
        return made

    return one
