"""From image files to two 224 views (ImageNet recipe): decoding is counted.

Ours is the supply that training has: streamed (every file decoded when its step comes, in this process), and mapped from what
``stopgrad pack`` wrote. Peers may prepare too: their second rows read JPEG files that were reduced to the same shorter side beforehand.
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import simplejpeg
import torch
from PIL import Image
from torch import Tensor

from benchmarks.images import write_jpegs
from benchmarks.measure import Case, compare, timed
from benchmarks.page import rates
from benchmarks.peers import lacking
from benchmarks.pipelines import albumentations_view, kornia_view, pil_view
from benchmarks.views import IMAGENET, PIL
from stopgrad.config import Data, Run
from stopgrad.images.pack import pack
from stopgrad.images.sources import open_splits
from stopgrad.loader import Batch, Order, open_supply
from stopgrad.recipes import RECIPES
from stopgrad.train import render_views

SHORT = 256
"""Shorter side of what is prepared beforehand, pixels."""

Work = Callable[[], object]


def read(file: Path) -> Image.Image:
    """Return the image, decoded by Pillow."""
    with Image.open(file) as image:
        return image.convert("RGB")


def pil_work(files: list[Path], images: int) -> Work:
    """Return a function that makes two views each of ``images`` files as the official code does."""
    pipeline, endless = pil_view(IMAGENET), cycle(files)

    def one(file: Path) -> list[Tensor]:
        image = read(file)
        return [pipeline(image), pipeline(image)]

    return lambda: [one(file) for file in islice(endless, images)]


def albumentations_work(files: list[Path], images: int) -> Work:
    """Return the same with albumentations, decoded by simplejpeg: an eighth less than OpenCV's time."""
    pipeline, endless = albumentations_view(IMAGENET), cycle(files)

    def one(file: Path) -> list[Tensor]:
        image = simplejpeg.decode_jpeg(file.read_bytes())
        return [pipeline(image), pipeline(image)]

    return lambda: [one(file) for file in islice(endless, images)]


def kornia_work(files: list[Path], images: int, device: torch.device) -> Work:
    """Return the same with kornia, in one batch: decoded by Pillow, all files being of one size."""
    pipeline, endless = kornia_view(IMAGENET), cycle(files)

    def batch() -> list[Tensor]:
        decoded = np.stack([np.asarray(read(file)) for file in islice(endless, images)])
        x = torch.from_numpy(decoded).to(device).permute(0, 3, 1, 2).float() / 255
        return [pipeline(x), pipeline(x)]

    return batch


def our_work(source: Path, data: Data, batch: int, device: torch.device) -> Work:
    """Return a function that renders the two views of the next batch of ``source``."""
    base = RECIPES["simsiam/imagenet"]()
    run: Run = replace(base, data=data, views=(IMAGENET, IMAGENET), train=replace(base.train, batch=batch))
    supply, _ = open_supply(open_splits(source).train, data, device, lambda line: None, lambda bad: None)
    order = Order(0, len(supply), batch)
    batches: Iterator[tuple[int, Batch]] = enumerate(supply.fetch(order.of_steps(0, 10**6)))

    def next_batch() -> object:
        step, images = next(batches)
        return list(render_views(run, images, step))

    return next_batch


def packed(files: Path, out: Path) -> Path:
    """Pack the images in the folder ``files`` at the shorter side, and return ``out``."""
    data = replace(RECIPES["simsiam/imagenet"]().data, short_side=SHORT)
    pack(open_splits(files), out, data, 3, lambda done, total: None)
    return out


def cases(folder: Path, number: int, few: int, batch: int, device: torch.device) -> Mapping[str, Case | None]:
    """Return everybody's case on ``number`` files: peers without batches make views of ``few`` images a turn, the others of ``batch``."""
    whole, reduced = write_jpegs(folder / "whole", number), write_jpegs(folder / "reduced", number, SHORT)
    base = RECIPES["simsiam/imagenet"]().data
    streamed = our_work(folder / "whole", replace(base, residence="stream", workers=0), batch, device)
    mapped = our_work(packed(folder / "whole", folder / "packed"), base, batch, device)
    before = f"prepared at {SHORT}: "
    found: dict[str, Case | None] = {PIL: timed(pil_work(whole, few), 2 * few, device)}
    found[f"kornia, batch {batch}"] = None if lacking("kornia") else timed(kornia_work(whole, batch, device), 2 * batch, device)
    none = bool(lacking("albumentations"))
    found["albumentations on OpenCV"] = None if none else timed(albumentations_work(whole, few), 2 * few, device)
    found[f"stopgrad streaming, batch {batch}"] = timed(streamed, 2 * batch, device)
    found[f"{before}{PIL}"] = timed(pil_work(reduced, few), 2 * few, device)
    found[f"{before}albumentations on OpenCV"] = None if none else timed(albumentations_work(reduced, few), 2 * few, device)
    found[f"{before}stopgrad pack, batch {batch}"] = timed(mapped, 2 * batch, device)
    return found


def part(device: torch.device, quick: bool) -> list[str]:
    """Measure, and return the lines of this part of the page."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = cases(folder, 8 if quick else 256, 1 if quick else 24, 4 if quick else 64, device)
        rows = compare(found, PIL, 1 if quick else 7)
        kilobytes = {
            kind: sum(file.stat().st_size for file in (folder / kind).iterdir()) / 1000 / (8 if quick else 256) for kind in ("whole", "reduced")
        }
    return [
        "## Two 224 views from JPEG files, 500x375 (ImageNet recipe)",
        "",
        "Decoding counts: by Pillow for PIL and kornia, by simplejpeg for albumentations. "
        f"Files of {kilobytes['whole']:.0f} kB in the mean; prepared beforehand, at a shorter side of {SHORT}: "
        f"JPEG files of {kilobytes['reduced']:.0f} kB for peers, `stopgrad pack --short-side {SHORT}` for ours.",
        "",
        *rates(rows, "views/s", "PIL"),
    ]
