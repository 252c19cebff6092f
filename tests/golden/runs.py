"""Ten steps of a tiny run a method: the losses that a change of code must not change unless it means to."""

from pathlib import Path

import numpy as np
import torch

from stopgrad.config import Run
from stopgrad.images.pool import Pool
from stopgrad.loader import Batch, Order
from stopgrad.methods import initialise
from stopgrad.optim import Optimizer, cosine_lr
from stopgrad.train import train_step
from tests.conftest import toy_run

FOLDER = Path(__file__).parent
STEPS = 10


def pool() -> Pool:
    """64 grey images of 12 pixels with structure: random discs of random brightness."""
    rng = np.random.Generator(np.random.PCG64(0))
    y, x = np.mgrid[:12, :12]
    images = []
    for _ in range(64):
        cy, cx, r = rng.uniform(2, 10), rng.uniform(2, 10), rng.uniform(1, 5)
        images.append((((y - cy) ** 2 + (x - cx) ** 2 < r * r) * rng.uniform(60, 255))[None].astype(np.uint8))
    return Pool.from_arrays(images)


def golden_run() -> Run:
    return toy_run(epochs=2, batch=12)


def losses(run: Run) -> list[float]:
    """Return the losses of the first ten steps."""
    images = pool()
    method = initialise(run).to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    order = Order(run.train.seed, len(images), run.train.batch)
    optimizer = Optimizer(method.param_groups(), run.optim)
    found = []
    for step in range(STEPS):
        lr = cosine_lr(run.optim, run.train.batch, step, STEPS, order.steps_per_epoch)
        output = train_step(run, method, method, optimizer, Batch(images, order.of_step(step)), step, STEPS, lr)
        found.append(float(output.loss))
    return found
