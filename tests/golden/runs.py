"""Ten steps of a tiny run a method: the losses that a change of code must not change unless it means to."""

from pathlib import Path

import numpy as np
import torch

from stopgrad.config import Run
from stopgrad.images.pool import Pool
from stopgrad.loader import Resident
from stopgrad.methods import Task, initialise
from stopgrad.monitor import Listeners
from stopgrad.runs import RunDirectory, read_lines
from stopgrad.train import pretrain
from tests.toys import TOYS, toy_run

FOLDER = Path(__file__).parent
IMAGES, BATCH, EPOCHS = 60, 12, 2


def images() -> Resident:
    """60 grey images of 12 pixels with structure: random discs of random brightness, in three classes by their size."""
    rng = np.random.Generator(np.random.PCG64(0))
    y, x = np.mgrid[:12, :12]
    discs, classes = [], []
    for _ in range(IMAGES):
        cy, cx, r = rng.uniform(2, 10), rng.uniform(2, 10), rng.uniform(1, 5)
        discs.append((((y - cy) ** 2 + (x - cx) ** 2 < r * r) * rng.uniform(60, 255))[None].astype(np.uint8))
        classes.append(min(2, int(r / 2)))
    return Resident(Pool.from_arrays(discs), np.arange(IMAGES), torch.device("cpu"), torch.tensor(classes))


def golden_run(name: str) -> Run:
    """Ten steps of the toy run ``name``."""
    return toy_run(name, epochs=EPOCHS, batch=BATCH, log_every=1)


def losses(run: Run, folder: Path) -> list[float]:
    """Return the losses of the first ten steps."""
    supply, directory = images(), RunDirectory(folder)
    method = initialise(run, Task(IMAGES, BATCH, 3))
    pretrain(run, method, supply, directory, torch.device("cpu"), Listeners())
    return [float(r["loss"]) for r in read_lines(directory.metrics)]


__all__ = ["FOLDER", "TOYS", "golden_run", "losses"]
