"""How much of a GPU a run uses: its steps beside the same steps without an input path, and beside the official loop.

Steps follow each other as in a run: nothing waits for the GPU between them. Without an input path the views of one step, rendered before, are taken
again and again.
"""

import tempfile
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.profiler import ProfilerActivity, profile

from benchmarks.measure import Case, Row, compare
from benchmarks.page import rates, table
from benchmarks.training import A_TURN, BASE, ENDLESS, a_turn, as_peers, loop
from stopgrad.bench.ceiling import product_rate
from stopgrad.bench.trial import Trial
from stopgrad.config import Run
from stopgrad.config.run import Compile
from stopgrad.images.arrays import from_arrays
from stopgrad.images.pack import pack
from stopgrad.images.pool import Pool, load
from stopgrad.images.source import Splits
from stopgrad.images.sources import open_splits
from stopgrad.loader import Order, Resident, Supply
from stopgrad.recipes import RECIPES
from stopgrad.views.on_gpu import has_triton

BARE = "views rendered before, no input path"
RESIDENT, PACKED = "images on the device", "images in a pack, mapped"
CIFAR, IMAGENET = (50_000, 32, 32), (2048, 375, 500)
"""Images, height and width."""
EPOCHS, SHORT = 800, 256


def noise(images: int, height: int, width: int) -> NDArray[np.uint8]:
    """Return images that cost what any others do, (images, 3, height, width)."""
    return np.random.default_rng(0).integers(0, 256, (images, 3, height, width), dtype=np.uint8)


def fast(run: Run, batch: int, device: torch.device) -> Run:
    """Return ``run`` as a GPU does it best."""
    mode: Compile = "reduce-overhead" if device.type == "cuda" and has_triton() else "no"
    return replace(run, train=replace(run.train, batch=batch, compile=mode))


def fed(run: Run, supply: Supply, pool: Pool, device: torch.device) -> Trial:
    """Return steps on the images of ``supply``; ``pool`` has some like them."""
    trial = Trial(run, pool, len(supply), device)
    trial.batches = supply.fetch(Order(0, len(supply), run.train.batch).of_steps(0, ENDLESS))
    return trial


def cases(trials: dict[str, Trial], steps: int) -> dict[str, Case | None]:
    """Return every trial as a case of ``steps`` steps, and the first without its input path."""
    first = next(iter(trials.values()))
    views, amount = first.rendered(), steps * first.run.train.batch
    found: dict[str, Case | None] = {BARE: Case(partial(first.steps, steps, views), amount)}
    return found | {name: Case(partial(trial.steps, steps), amount) for name, trial in trials.items()}


def covered(spans: Iterable[tuple[float, float]]) -> float:
    """Return the length of what at least one of the spans (from, to) covers."""
    total, end = 0.0, float("-inf")
    for begin, until in sorted(spans):
        total += max(until, end) - max(begin, end)
        end = max(until, end)
    return total


def idle(trial: Trial, steps: int, rate: float) -> float:
    """Return the share of the time in which a GPU does nothing: of steps at ``rate`` images/s, since a profiler slows what starts the kernels."""
    with profile(activities=[ProfilerActivity.CUDA]) as seen:
        trial.steps(steps)
    spans = [(event.time_range.start, event.time_range.end) for event in seen.events() or () if event.device_type.name == "CUDA"]
    return max(0.0, 1 - covered(spans) / 1e6 / steps * rate / trial.run.train.batch)


def peak_memory(trial: Trial, steps: int) -> int:
    """Return the most bytes that are in use on a GPU while ``trial`` makes steps."""
    if trial.device.type != "cuda":
        return 0
    torch.cuda.reset_peak_memory_stats(trial.device)
    trial.steps(steps)
    return torch.cuda.max_memory_allocated(trial.device)


def figures(trial: Trial, rows: list[Row], case: str, images: int, epochs: int, steps: int) -> list[str]:
    """Return a table: time, and the share of the device's arithmetic and of its time that is used."""
    rate = next(row.rate.median for row in rows if row.case == case and row.rate is not None)
    kind = torch.bfloat16 if trial.run.train.precision == "bf16" else torch.float32
    memory = peak_memory(trial, steps)
    operations = sum(trial.operations()) / trial.run.train.batch * rate
    ceiling = product_rate(trial.device, kind)
    found = [
        ("an epoch", f"{images / rate:,.2f} s of {images:,} images"),
        (f"{epochs} epochs", f"{epochs * images / rate / 60:,.1f} min"),
        ("arithmetic used", f"{operations / 1e12:,.3g} of {ceiling / 1e12:,.3g} TFLOP/s of a large product: {operations / ceiling:.1%}"),
    ]
    if trial.device.type == "cuda":
        found.append(("idle", f"{idle(trial, steps, rate):.1%}"))
        found.append(("memory", f"{memory / 2**30:.1f} GiB, what else the page measures beside it included"))
    return table((case, ""), found)


def small(device: torch.device, quick: bool, batch: int) -> list[str]:
    """Measure SimSiam on CIFAR-10's shapes, beside the official loop."""
    images, height, width = (4 * batch, 32, 32) if quick else CIFAR
    turns, steps = (1, 1) if quick else (5, 60)
    run = fast(as_peers(), batch, device)
    pool = Pool.of_array(noise(images, height, width)).to(device)
    trial = fed(run, Resident(pool, np.arange(images), device), pool, device)
    peer = loop("official", "cifar", batch, "fp32", device)
    amount = batch * (A_TURN if device.type == "cuda" else 1)
    try:
        rows = compare(cases({RESIDENT: trial}, steps) | {BASE: Case(lambda: a_turn(peer, 1, device), amount)}, BARE, turns)
    finally:
        peer.close()
    lines = [f"## SimSiam, ResNet-18 with the CIFAR stem, 32x32, batch {batch}, {trial.run.train.precision}, compile {run.train.compile}", ""]
    return [*lines, *rates(rows, "images/s", "no input path", digits=2), *figures(trial, rows, RESIDENT, images, EPOCHS, steps)]


def large(device: torch.device, quick: bool, batch: int) -> list[str]:
    """Measure SimSiam on ImageNet's shapes, from images on the device and from a pack."""
    images, height, width = (2 * batch, 20, 24) if quick else IMAGENET
    turns, steps = (1, 1) if quick else (5, 20)
    run = fast(RECIPES["simsiam/imagenet"](), batch, device)
    if quick:
        run = replace(run, views=tuple(replace(view, size=32) for view in run.views), net=replace(run.net, width=4))
    pixels = noise(images, height, width)
    pool = Pool.of_array(pixels).to(device)
    with tempfile.TemporaryDirectory() as folder:
        short = min(height, SHORT)
        pack(Splits(from_arrays(pixels), None), Path(folder) / "pack", replace(run.data, short_side=short), 3, lambda done, of: None)
        loaded = load(open_splits(Path(folder) / "pack").train, replace(run.data, short_side=short))
        trials = {
            RESIDENT: fed(run, Resident(pool, np.arange(images), device), pool, device),
            PACKED: fed(run, Resident(loaded.pool, loaded.rows, device), loaded.pool.take(torch.arange(min(images, batch))), device),
        }
        rows = compare(cases(trials, steps), BARE, turns)
    lines = [f"## SimSiam, ResNet-50, 224x224 from {width}x{height}, batch {batch}, {trials[RESIDENT].run.train.precision}", ""]
    return [*lines, *rates(rows, "images/s", "no input path", digits=2), *figures(trials[RESIDENT], rows, RESIDENT, 1_281_167, 100, steps)]


def part(device: torch.device, quick: bool, batch: int) -> list[str]:
    """Measure, and return the lines of this part of the page."""
    return [*small(device, quick, batch), *large(device, quick, batch if quick else 256)]
