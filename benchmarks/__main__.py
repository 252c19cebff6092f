"""``make bench``: measure views and training beside the official code, and write ``benchmarks/results-DEVICE.md``."""

import argparse
import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import torch

from benchmarks import training, views
from benchmarks.measure import Spread
from stopgrad.device import pick_device, pick_precision
from stopgrad.heap import keep_heap
from stopgrad.images.pool import Pool

PARTS = {
    "render": "both views",
    "forward": "",
    "backward": "",
    "check": "gradient norm, finite or not",
    "optimiser": "",
    "rest": "order, keys, bookkeeping",
}


def machine(device: torch.device) -> str:
    """Return the machine and versions that the numbers belong to."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    else:
        info = Path("/proc/cpuinfo")
        lines = info.read_text().splitlines() if info.exists() else []
        name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    versions = ", ".join(f"{package} {version(package)}" for package in ("stopgrad", "torch", "torchvision", "pillow"))
    return f"{datetime.now(UTC):%Y-%m-%d}, {name}, {os.cpu_count()} cores, Python {platform.python_version()}, {versions}"


def table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Return a Markdown table."""
    return ["| " + " | ".join(header) + " |", "|---" * len(header) + "|", *("| " + " | ".join(row) + " |" for row in rows), ""]


def views_section(title: str, found: dict[str, Spread]) -> list[str]:
    """Return a table of views a second, and as multiples of the PIL pipeline."""
    rates = {name: row for name, row in found.items() if "/ PIL" not in name}
    rows = [(name, row.text(), found[f"{name} / PIL"].text(1) if f"{name} / PIL" in found else "1") for name, row in rates.items()]
    return [f"## {title}", "", *table(("case", "views/s, median (range)", "times PIL"), rows)]


def main() -> None:
    """Measure what the device allows and write the page."""
    arguments = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    arguments.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    arguments.add_argument("--batch", type=int, help="images a step in the training cases (default: 64 on the CPU, 512 on a GPU)")
    asked = arguments.parse_args()
    device = pick_device(asked.device)
    keep_heap()
    batch, turns = asked.batch or (64 if device.type == "cpu" else 512), 3 if device.type == "cpu" else 5
    torch.set_num_threads(1 if device.type == "cpu" else torch.get_num_threads())
    small = views.small_images()
    page = [f"# Throughput on the {device.type}", "", machine(device) + (", one thread" if device.type == "cpu" else ""), ""]
    page += [f"Written by `make bench{'' if device.type == 'cpu' else '-gpu'}`. Cases take turns; ratios are taken turn by turn: median (range).", ""]
    page += views_section("Rendering, 32x32 SimSiam views (CIFAR recipe)", views.compare(small, views.CIFAR, (128, 512), 4096, 512, device))
    page += views_section("Rendering, 500x375 to 224 (ImageNet recipe)", views.compare(views.large_images(), views.IMAGENET, (64,), 128, 32, device))

    pool = Pool.from_arrays(small).planes(torch.arange(len(small))).numpy()
    rates, times = training.compare(pool, batch, turns, device)
    page += [f"## Training, ResNet-18 with the CIFAR stem, batch {batch}", ""]
    page += table(
        ("case", "images/s", "times the official loop"), [(n, r.text(1), times[n].text(2) if n in times else "1") for n, r in rates.items()]
    )
    precision = pick_precision("auto", device)
    shares = training.split(pool, batch, turns, precision, device)
    page += [f"## Where a step goes ({precision})", ""]
    page += table(("stage", "share of the step", ""), [(name, f"{share:.1%}", PARTS[name]) for name, share in shares.items()])
    target = Path(__file__).parent / f"results-{device.type}.md"
    target.write_text("\n".join(page))
    print("\n".join(page))
    print(f"written to {target}")


if __name__ == "__main__":
    main()
