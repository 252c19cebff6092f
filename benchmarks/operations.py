"""Microseconds a view of every operation of ours alone: ``python -m benchmarks.operations [--device cuda]``."""

import argparse
from collections.abc import Callable

import torch

from benchmarks.images import large_images, small_images
from benchmarks.measure import Spread, alternate, spread, timed
from benchmarks.pipelines import MEAN, STD
from benchmarks.views import CIFAR, IMAGENET
from stopgrad.config import View
from stopgrad.heap import keep_heap
from stopgrad.images.planes import Planes
from stopgrad.images.pool import Pool
from stopgrad.views import ops
from stopgrad.views.crop import crop_batch, crop_each
from stopgrad.views.policy import draw_acts, follow
from stopgrad.views.sample import sample, uniforms

TURNS = 7


def operations(images: list[Planes], view: View, number: int, device: torch.device) -> dict[str, Spread]:
    """Return microseconds a view of every operation alone, on ``number`` images at a time."""
    pool = Pool.from_arrays(images[:number]).to(device)
    rows = torch.arange(number)
    drawn = uniforms(0, 0, 0, number)
    params = sample(view, drawn, pool.heights, pool.widths)
    there = params.to(device)
    equal = pool.planes(rows.to(device)) if pool.equal is not None and view.size <= 96 else None
    x = crop_each([pool.image(row) for row in range(number)], params)
    ones = torch.ones(number, device=device)
    seeds, squares = torch.arange(number, device=device), torch.tensor([0, view.size // 2] * 2, device=device).expand(number, 4)
    acts = draw_acts("imagenet", torch.rand(number, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))
    works: dict[str, Callable[[], object]] = {
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
        "sobel": lambda: ops.sobel(x).contiguous(),
        "noise": lambda: ops.noise(x, ones / 10, seeds),
        "cutout": lambda: ops.cut_out(x.clone(), squares),
        "AutoAugment": lambda: follow(x, acts),
        "normalise": lambda: ops.normalise(x, MEAN, STD),
    }
    taken = alternate({name: timed(work, number, device).seconds for name, work in works.items()}, TURNS)
    return {name: spread([1e6 * t / number for t in times]) for name, times in taken.items()}


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    device = torch.device(arguments.parse_args().device)
    torch.set_num_threads(1)
    keep_heap()
    for title, images, view, number in (("32x32", small_images(), CIFAR, 128), ("500x375 to 224", large_images(6), IMAGENET, 6)):
        print(f"\n{title}, microseconds a view: median (smallest..largest) of {TURNS}")
        for name, row in operations(images, view, number, device).items():
            print(f"  {name:16} {row.text(1)}")


if __name__ == "__main__":
    main()
