"""What torchrun starts in the tests of several processes: the toy detectors, each trained and tested into a folder of its name."""

import argparse
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

import stopgrad.detection.train as training
from stopgrad.config.detection import Detection
from stopgrad.detection.transfer import detect
from stopgrad.distributed import together
from tests.detection.made import TOY, start

TOYS: dict[str, Detection] = {
    "C4": replace(TOY, batch=4),
    "FPN": replace(TOY, batch=4, architecture="FPN"),
    "C4-masks": replace(TOY, batch=4, masks=True),
    "FPN-masks": replace(TOY, batch=4, masks=True, architecture="FPN"),
}


@contextmanager
def killed_before(iteration: int | None) -> Iterator[None]:
    real: Callable[..., dict[str, float]] = training._step

    def step(*given: Any) -> dict[str, float]:
        if given[5] == iteration:
            os._exit(9)  # as a kill: nothing is cleaned up
        return real(*given)

    training._step = step
    try:
        yield
    finally:
        training._step = real


def run(name: str, data: Path, out: Path) -> dict[str, Any]:
    """Train and test the toy ``name``; return its line."""
    (record,) = detect({"backbone": start()}, data, TOYS[name], out / name, torch.device("cpu"), lambda line: None)
    return record


def main() -> int:
    """Train what is named."""
    words = argparse.ArgumentParser()
    words.add_argument("data", type=Path)
    words.add_argument("out", type=Path)
    words.add_argument("names", nargs="+")
    words.add_argument("--kill-before", type=int)
    asked = words.parse_args()
    torch.set_num_threads(1)
    with together(torch.device("cpu")), killed_before(asked.kill_before):
        for name in asked.names:
            run(name, asked.data, asked.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
