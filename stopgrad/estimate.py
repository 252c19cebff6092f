"""How long a run would take and how much memory, measured by a few of its own steps on this machine."""

import resource
import sys
import time
from dataclasses import replace

import numpy as np
import torch

from stopgrad.config import Run
from stopgrad.device import pick_device
from stopgrad.finite import Finite
from stopgrad.heap import keep_heap
from stopgrad.images.pool import Pool
from stopgrad.loader import Batch
from stopgrad.methods import Task, initial_backbone, initialise
from stopgrad.optim import Optimizer
from stopgrad.progress import duration
from stopgrad.settle import computing_with, settle_precision, settle_threads
from stopgrad.train import train_step

STEPS = 2
"""Measured, after one that is not."""


def estimate(run: Run, images: int) -> list[str]:
    """Return lines: images a second and time for the whole schedule, memory, as measured over a few steps on made-up images."""
    device = pick_device("auto")
    keep_heap()
    backbone = initial_backbone(run)
    run = replace(run, train=replace(run.train, precision=settle_precision(run, backbone, device)))
    side = run.data.short_side or run.views[0].size
    noise = np.random.default_rng(0).integers(0, 255, (8, run.data.channels, side, side), dtype=np.uint8)
    rows = torch.arange(run.train.batch)
    batch = Batch(Pool.from_arrays(list(noise)).to(device), rows % len(noise), rows, rows % 2)
    task = Task(max(images, run.train.batch), run.train.batch, 2)
    method = initialise(run, task, backbone).to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    optimizer = Optimizer(method.param_groups(), run.optim)
    finite, taken = Finite(run, late=False), []
    with computing_with(settle_threads(run, backbone, device)):
        for step in range(STEPS + 1):
            began = time.perf_counter()
            float(train_step(run, method, optimizer, batch, step, 0.0, finite).loss)
            taken.append(time.perf_counter() - began)
    rate = run.train.batch / min(taken[1:])
    total = images // run.train.batch * run.train.batch * run.train.epochs / rate
    return [
        f"time: about {duration(total)} for {run.train.epochs} epochs ({rate:,.0f} images/s on this {device.type}, {run.train.precision})",
        f"memory: about {_peak_bytes(device) / 2**30:.1f} GiB for training, and the images themselves",
    ]


def _peak_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
