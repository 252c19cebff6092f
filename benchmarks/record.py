"""``make record DATA=FOLDER``: SimSiam's published run on CIFAR-10 (ResNet-18, 800 epochs) to its end, judged, and written down with its machine.

Stopped and started again it goes on where it was. ``--set`` changes the recipe: what it was changed by stands in the record.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import stopgrad
from benchmarks.page import table
from benchmarks.peers import machine
from stopgrad.config import differences
from stopgrad.config.protocols import LINEAR, Knn
from stopgrad.device import pick_device
from stopgrad.recipes import RECIPES
from stopgrad.runs import RunDirectory
from stopgrad.views.on_gpu import has_triton

RECIPE = "simsiam/cifar10"
PUBLISHED = "arXiv:2011.10566, App. D: linear 91.8 %, kNN about 90 %"
HEAD = f"# Runs of {RECIPE} to their end\n\nWritten by `make record DATA=FOLDER`. Published: {PUBLISHED}.\n"
ALWAYS = ("recipe", "data.source", "data.labels", "data.residence", "train.precision", "train.threads")
"""What a run settles by itself."""


def train(data: str, out: Path, settings: dict[str, str], device: str) -> RunDirectory:
    """Train to the end of the schedule, from where an earlier call stopped. Raises SystemExit when it was stopped again."""
    where = pick_device(device)
    graphs = {"train.compile": "reduce-overhead"} if where.type == "cuda" and has_triton() else {}
    outcome = stopgrad.pretrain(data, out, recipe=RECIPE, settings=graphs | settings, device=device)
    if outcome.state != "finished":
        raise SystemExit(f"{out}: {outcome.state} at step {outcome.step} of {outcome.steps}; the same command goes on")
    return RunDirectory(out)


def judged(directory: RunDirectory, device: str) -> list[dict[str, Any]]:
    """Return what the finished backbone reaches: SimSiam's linear protocol, with its batch where there are as many images, and kNN."""
    return stopgrad.evaluate(directory.path, (LINEAR["simsiam"], Knn()), features=("backbone",), device=device)


def record(directory: RunDirectory, found: list[dict[str, Any]], device: str) -> list[str]:
    """Return the lines of a record."""
    run, status = directory.read_config(), directory.status()
    changed = {path: new for path, (_, new) in differences(RECIPES[RECIPE](), run).items() if path not in ALWAYS}
    images = status["images"]["used"] // run.train.batch * run.train.batch * run.train.epochs
    rows = [(f"{line['protocol']}, top-1", f"{line['top1']:.2%} ({line['interval'][0]:.2%}..{line['interval'][1]:.2%})") for line in found]
    rows += [
        (
            "training",
            f"{status['seconds'] / 60:,.1f} min, {images / status['seconds']:,.0f} images/s, {status['seconds'] / run.train.epochs:,.2f} s an epoch",
        ),
        ("run", f"{status['steps']:,} steps of {run.train.batch} images, seed {run.train.seed}, {run.train.precision}, compile {run.train.compile}"),
        ("verdict", status["verdict"]["state"]),
    ]
    said = [f"Changed: {', '.join(f'{path}={value}' for path, value in changed.items())}.", ""] if changed else []
    where = machine(pick_device(device))
    return [f"## {where.partition(',')[0]}", "", *table(("", ""), rows), *said, where, ""]


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, judge, and add the record to the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.record", description=__doc__)
    parser.add_argument("data", help="CIFAR-10, as it is published")
    parser.add_argument("--out", type=Path, default=Path("runs/record"), help="the run's directory (default: runs/record)")
    parser.add_argument("--page", type=Path, default=Path(__file__).with_name("record.md"), help="default: benchmarks/record.md")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="as of stopgrad pretrain")
    asked = parser.parse_args(arguments)
    directory = train(asked.data, asked.out, dict(entry.split("=", 1) for entry in asked.set), asked.device)
    lines = record(directory, judged(directory, asked.device), asked.device)
    print("\n".join(lines))
    page = asked.page.read_text() if asked.page.exists() else HEAD
    asked.page.write_text(page + "\n" + "\n".join(lines))
    print(f"written to {asked.page}")


if __name__ == "__main__":
    main()
