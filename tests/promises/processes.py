"""What torchrun starts in the tests of several processes: train toy runs, each into a folder of its name."""

import argparse
import os
import sys
from pathlib import Path

import torch

from stopgrad.distributed import together
from stopgrad.errors import UserError
from stopgrad.methods import Task, initialise
from stopgrad.monitor import Listeners
from stopgrad.runs import RunDirectory
from stopgrad.train import pretrain
from stopgrad.world import world
from tests.golden.runs import BATCH, IMAGES, images
from tests.toys import toy_run


def train(name: str, folder: Path, kill_at: int | None = None, fail: bool = False, **settings: object) -> None:
    """Train the toy run ``name`` for five steps, every one saved, or until it is killed after ``kill_at``."""
    run = toy_run(name, epochs=1, batch=BATCH, log_every=1, checkpoint_seconds=0.0, keep=10, **settings)
    directory = RunDirectory(folder / name)
    directory.create()
    directory.write_config(run)

    def step(step: int, steps: int) -> None:
        if step == kill_at:
            os._exit(9)  # as a kill: nothing is cleaned up
        if fail and step == 3:
            raise UserError("made up")

    pretrain(run, initialise(run, Task(IMAGES, BATCH, 3)), images(), directory, torch.device("cpu"), Listeners(step=step))


def main() -> int:
    """Train what is named; a mistake in the settings ends as in the command line."""
    words = argparse.ArgumentParser()
    words.add_argument("folder", type=Path)
    words.add_argument("names", nargs="+")
    words.add_argument("--kill-at", type=int)
    words.add_argument("--bn")
    words.add_argument("--fail", type=int, help="the process in which a mistake is found after three steps")
    asked = words.parse_args()
    torch.set_num_threads(1)
    own = {"bn": asked.bn} if asked.bn else {}
    with together(torch.device("cpu")):
        for name in asked.names:
            try:
                train(name, asked.folder, asked.kill_at, asked.fail == world().rank, **own)
            except UserError as error:
                print(f"process {world().rank}: {error}", file=sys.stderr, flush=True)
                os._exit(2)  # as the command line: the others are waiting, and are ended by the launcher
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
