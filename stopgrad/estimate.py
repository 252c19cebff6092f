"""How long a run would take and how much memory, measured by a few of its own steps on this machine."""

import resource
import sys

import numpy as np
import torch

from stopgrad.bench.trial import Trial
from stopgrad.config import Run
from stopgrad.config.run import Precision
from stopgrad.device import pick_device
from stopgrad.images.pool import Pool
from stopgrad.progress import duration
from stopgrad.settle import computing_with, settle_threads


def estimate(run: Run, images: int) -> list[str]:
    """Return lines: images a second and time for the whole schedule, memory, as measured over a few steps on made-up images."""
    device = pick_device("auto")
    rate, precision = measured_rate(run, images, device)
    total = images // run.train.batch * run.train.batch * run.train.epochs / rate
    return [
        f"time: about {duration(total)} for {run.train.epochs} epochs ({rate:,.0f} images/s on this {device.type}, {precision})",
        f"memory: about {peak_bytes(device) / 2**30:.1f} GiB for training, and the images themselves",
    ]


def measured_rate(run: Run, images: int, device: torch.device) -> tuple[float, Precision]:
    """Return images a second over a few steps of ``run`` on made-up images, and the precision that they were computed in."""
    side = run.data.short_side or run.views[0].size
    noise = np.random.default_rng(0).integers(0, 255, (8, run.data.channels, side, side), dtype=np.uint8)
    trial = Trial(run, Pool.from_arrays(list(noise)), images, device)
    with computing_with(settle_threads(trial.run, trial.backbone, device)):
        return trial.rate(), trial.run.train.precision


def peak_bytes(device: torch.device) -> int:
    """Return the most memory that this process has held: on the device, of the CPU in RAM."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
