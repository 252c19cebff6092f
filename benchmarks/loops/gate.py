"""Between the steps of a loop in a process of its own: say what the last step took, and wait to be told to go on."""

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

T = TypeVar("T")

DONE = "step done:"
"""Begins the line that is printed after a step; seconds of the clock and of the processor follow."""


@dataclass
class Gate:
    """What a loop passes after every step. Its clock stands while the loop is held."""

    device: str
    marks: Path | None
    """A file that gets a line a step; then the loop is never held."""
    every: int = 1
    """Steps between two waits."""
    made: int = 0
    wall: float = 0.0
    processor: float = 0.0

    def passed(self) -> None:
        """Tell that ``every`` steps are done, and return when the next may begin. Ends the process when nobody will tell."""
        self.made += 1
        if self.made % self.every:
            return
        if self.device == "cuda":
            torch.cuda.synchronize()
        if self.marks is not None:
            with open(self.marks, "a") as file:
                file.write("step\n")
            return
        print(DONE, time.perf_counter() - self.wall, time.process_time() - self.processor, flush=True)
        if not sys.stdin.readline():
            raise SystemExit(0)
        self.wall, self.processor = time.perf_counter(), time.process_time()


def loader_of(data: Dataset[T], found: argparse.Namespace) -> DataLoader[T]:
    """Return what hands out ``data`` in shuffled batches, in as many processes as were asked for."""
    there = found.workers > 0
    return DataLoader(data, found.batch, shuffle=True, drop_last=True, num_workers=found.workers, persistent_workers=there, pin_memory=there)


def asked(description: str | None) -> tuple[argparse.Namespace, Gate]:
    """Return the command line of a loop, and its gate."""
    arguments = argparse.ArgumentParser(description=description)
    arguments.add_argument("--setting", default="cifar", choices=("cifar", "demo"))
    arguments.add_argument("--batch", type=int, required=True)
    arguments.add_argument("--precision", default="fp32", choices=("fp32", "bf16"))
    arguments.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    arguments.add_argument("--workers", type=int, default=0, help="processes that load images")
    arguments.add_argument("--every", type=int, default=1, help="wait to be told after so many steps")
    arguments.add_argument("--marks", type=Path, help="write a line a step here, and do not wait between steps")
    found = arguments.parse_args()
    if found.device == "cpu":
        torch.set_num_threads(1)
    torch.manual_seed(0)
    return found, Gate(found.device, found.marks, found.every)
