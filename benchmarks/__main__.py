"""``make bench``: measure ours beside its peers, and write ``benchmarks/results.md`` (on a GPU ``results-cuda.md``)."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from benchmarks import gpu, jpeg, startup, training, views
from benchmarks.page import PARTS, write
from benchmarks.peers import machine
from stopgrad.device import pick_device
from stopgrad.heap import keep_heap

FILES = {"cpu": "results.md", "cuda": "results-cuda.md"}


def parts(device: torch.device, quick: bool, batch: int) -> dict[str, Callable[[], list[str]]]:
    """Return what measures each part of the page on ``device``: a start on the CPU only, how much of a GPU is used on a GPU only."""
    found: dict[str, Callable[[], list[str]]] = {
        "gpu": lambda: gpu.part(device, quick, batch),
        "views": lambda: views.part(device, quick),
        "jpeg": lambda: jpeg.part(device, quick),
        "training": lambda: training.part(device, quick, batch),
        "startup": lambda: startup.part(quick),
    }
    return {name: found[name] for name in PARTS if name != {"cpu": "gpu", "cuda": "startup"}[device.type]}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the parts asked for and write them into the page; the other parts stay as they are."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--device", default="cpu", choices=tuple(FILES))
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="measure these parts (default: all)")
    parser.add_argument("--batch", type=int, help="images a step in the training cases (default: 64 on the CPU, 512 on a GPU)")
    parser.add_argument("--quick", action="store_true", help="a few seconds a part, for tests; its numbers mean nothing")
    parser.add_argument("--out", type=Path, help="the page (default: benchmarks/results.md; with --quick it must be named)")
    asked = parser.parse_args(arguments)
    if asked.quick and asked.out is None:
        parser.error("--quick needs --out: its numbers must not replace measured ones")
    device = pick_device(asked.device)
    if device.type == "cpu":
        torch.set_num_threads(1)
    keep_heap()
    page = asked.out or Path(__file__).parent / FILES[device.type]
    batch = asked.batch or (4 if asked.quick else 64 if device.type == "cpu" else 512)
    measures = parts(device, asked.quick, batch)
    for name in (name for name in measures if name in asked.only):
        lines = [*measures[name](), machine(device), ""]
        print("\n".join(lines), flush=True)
        write(page, device.type, {name: lines})  # at once: what comes later may be stopped
    print(f"written to {page}")


if __name__ == "__main__":
    main()
