"""Views a second on one thread, beside the official augmentation: ``python -m benchmarks.views [--device cuda] [--keep-heap] [--json FILE]``.

The peer is facebookresearch/simsiam's pipeline (a7bc177): torchvision's transforms on PIL images, one at a time, on one CPU thread. Ours
counts everything from the random key to the normalised batch. Images at 32x32: the bundled Fashion-MNIST, padded, in three channels;
at 224: smooth noise of 500x375 pixels, decoded. Cases take turns; the ratio is taken turn by turn. On the CPU time is the processor's.
"""

import argparse
import json
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from itertools import count, cycle, islice
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch import Tensor
from torchvision import transforms

from benchmarks.measure import Spread, alternate, ratios, spread
from stopgrad.config import View
from stopgrad.heap import keep_heap
from stopgrad.images.bundled import open_bundled
from stopgrad.images.planes import Planes
from stopgrad.images.pool import Pool
from stopgrad.views import ops
from stopgrad.views.crop import crop_batch, crop_each
from stopgrad.views.render import render
from stopgrad.views.sample import ViewParams, sample, uniforms

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CIFAR = View(size=32, scale=(0.2, 1.0), flip=0.5, jitter=(0.4, 0.4, 0.4, 0.1), jitter_p=0.8, grey=0.2, blur=0.0)
IMAGENET = replace(CIFAR, size=224, blur=0.5)
TURNS = 7
PIL = "PIL"


def pil_blur(image: Image.Image) -> Image.Image:
    """The official code's GaussianBlur."""
    return image.filter(ImageFilter.GaussianBlur(radius=random.uniform(0.1, 2.0)))


def pil_view(view: View) -> transforms.Compose:
    """The official pipeline for CIFAR (no blur) or ImageNet."""
    steps = [
        transforms.RandomResizedCrop(view.size, scale=view.scale),
        transforms.RandomApply([transforms.ColorJitter(*view.jitter)], p=view.jitter_p),
        transforms.RandomGrayscale(p=view.grey),
        *([transforms.RandomApply([pil_blur], p=view.blur)] if view.blur else []),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
        transforms.Normalize(MEAN, STD),
    ]
    return transforms.Compose(steps)


def small_images() -> list[Planes]:
    """2,000 bundled images, padded to (3, 32, 32)."""
    images = open_bundled().train.array()
    assert images is not None
    padded = np.pad(images[:2000], ((0, 0), (0, 0), (2, 2), (2, 2)))
    return [*np.ascontiguousarray(padded.repeat(3, axis=1))]


def large_images(number: int = 64) -> list[Planes]:
    """Smooth coloured noise with some grain, (3, 375, 500)."""
    draw = np.random.default_rng(0)
    images: list[Planes] = []
    for _ in range(number):
        coarse = Image.fromarray(draw.integers(0, 256, (12, 16, 3), dtype=np.uint8)).resize((500, 375), Image.Resampling.BICUBIC)
        grainy = np.asarray(coarse, dtype=np.int16) + draw.integers(-8, 9, (375, 500, 3))
        images.append(np.ascontiguousarray(grainy.clip(0, 255).astype(np.uint8).transpose(2, 0, 1)))
    return images


def pil_case(images: list[Planes], view: View, views: int) -> Callable[[], object]:
    """Return a function that makes ``views`` views, one at a time."""
    pipeline, decoded = pil_view(view), cycle([Image.fromarray(image.transpose(1, 2, 0)) for image in images])
    return lambda: [pipeline(image) for image in islice(decoded, views)]


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


def take_turns(cases: Mapping[str, Callable[[], object]], device: torch.device) -> dict[str, list[float]]:
    """Return the seconds of every case in every turn: of the processor on the CPU, so that neighbours matter less; of the clock on a GPU."""
    if device.type != "cpu":
        return alternate(cases, TURNS, device)
    taken: dict[str, list[float]] = {name: [] for name in cases}
    for turn in range(TURNS + 1):  # the first does not count
        for name in list(cases)[:: 1 if turn % 2 else -1]:
            began = time.process_time()
            cases[name]()
            taken[name] += [time.process_time() - began] if turn else []
    return taken


def compare(images: list[Planes], view: View, batches: tuple[int, ...], views: int, pil_views: int, device: torch.device) -> dict[str, Spread]:
    """Return views a second of every case, and ours as multiples of PIL's under the name ``<case> / PIL``."""
    pool = Pool.from_arrays(images).to(device)
    cases = {PIL: pil_case(images, view, pil_views)}
    made = {PIL: pil_views}
    for batch in batches:
        cases[f"batch {batch}"] = our_case(pool, view, views, batch)
        cases[f"batch {batch}, two views a call"] = our_case(pool, view, views, batch, together=2)
    made |= {name: views for name in cases if name != PIL}
    taken = take_turns(cases, device)
    a_view = {name: [t / made[name] for t in times] for name, times in taken.items()}
    rates = {name: spread([1 / t for t in times]) for name, times in a_view.items()}
    return rates | {f"{name} / {PIL}": ratios(a_view, name, PIL) for name in a_view if name != PIL}


def parts(images: list[Planes], view: View, number: int, device: torch.device) -> dict[str, Spread]:
    """Return microseconds a view of every operation alone, on ``number`` images at a time."""
    pool = Pool.from_arrays(images[:number]).to(device)
    rows = torch.arange(number)
    drawn = uniforms(0, 0, 0, number)
    params = sample(view, drawn, pool.heights, pool.widths)
    there = params.to(device)
    equal = pool.planes(rows.to(device)) if pool.equal is not None and view.size <= 96 else None
    x = crop_each([pool.image(row) for row in range(number)], params)
    ones = torch.ones(number, device=device)
    cases: dict[str, Callable[[], object]] = {
        "uniforms": lambda: uniforms(0, 0, 0, number),
        "parameters": lambda: sample(view, drawn, pool.heights, pool.widths),
        "crop and flip": lambda: (
            crop_each([pool.image(row) for row in range(number)], params) if equal is None else crop_batch(pool.planes(rows.to(device)), there)
        ),
        "brightness": lambda: ops.brightness(x, ones),
        "contrast": lambda: ops.contrast(x, ones),
        "saturation": lambda: ops.saturation(x, ones),
        "hue": lambda: ops.hue(x, ones / 10),
        "jitter": lambda: ops.jitter(x, there.order, there.factors),
        "greyscale": lambda: ops.greyscale(x).contiguous(),
        "blur": lambda: ops.gaussian_blur(x, ones),
        "solarise": lambda: ops.solarise(x),
        "normalise": lambda: ops.normalise(x, MEAN, STD),
    }
    return {name: spread([1e6 * t / number for t in times]) for name, times in take_turns(cases, device).items()}


def main() -> None:
    """Measure, print and, if asked, write the numbers."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    arguments.add_argument("--keep-heap", action="store_true", help="as training does: keep large blocks of memory (stopgrad.heap)")
    arguments.add_argument("--json", type=Path, help="write the numbers here")
    asked = arguments.parse_args()
    device = torch.device(asked.device)
    torch.set_num_threads(1)
    if asked.keep_heap:
        assert keep_heap(), "this C library's heap cannot be told"
    small, large = small_images(), large_images()
    tables = {
        "32x32, views/s": compare(small, CIFAR, (128, 512), 2048, 512, device),
        "500x375 to 224, views/s": compare(large, IMAGENET, (64,), 128, 32, device),
        "32x32, parts, us a view": parts(small, CIFAR, 128, device),
        "500x375 to 224, parts, us a view": parts(large, IMAGENET, 6, device),
    }
    for title, rows in tables.items():
        print(f"\n{title}: median (smallest..largest) of {TURNS}")
        for name, row in rows.items():
            print(f"  {name:40} {row.text(1)}")
    if asked.json is not None:
        settings = {"device": asked.device, "keep_heap": asked.keep_heap, "torch": torch.__version__, "turns": TURNS}
        asked.json.write_text(json.dumps(settings | {t: {n: asdict(r) for n, r in rows.items()} for t, rows in tables.items()}, indent=1))


if __name__ == "__main__":
    main()
