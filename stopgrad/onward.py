"""What a run still wants: the commands that fit it, by its configuration and files, so that none fails when typed. Imports no torch."""

import shlex
from pathlib import Path
from typing import NamedTuple

from stopgrad.config import RESNETS, Net
from stopgrad.images.place import reachable
from stopgrad.runs import RunDirectory

EXPORTS = {"torchvision": "torchvision.pth", "timm": "timm", "safetensors": "weights.safetensors", "detectron2": "detectron2.pth"}
"""What an export is called in the run directory, by target."""


class NextStep(NamedTuple):
    """A command to copy, and what it is for."""

    verb: str
    """What it does, by the name that ``stopgrad`` has for it, also where it is a call in Python."""
    command: str
    """Capitals in it are to be filled in."""
    purpose: str
    """As it is shown everywhere: a sentence without its stop."""


def next_steps(path: Path) -> list[NextStep]:
    """Return what the run directory ``path`` lacks, and the page of what it has. Raises UserError when there is no run.

    Without a backbone, or with one of the user's own kind, which only Python can build, the page is all that commands can do.
    """
    directory, name = RunDirectory(path), shlex.quote(str(path))
    run = directory.read_config()
    report = NextStep("report", f"stopgrad report {name}", "One HTML page of all there is")
    if not directory.backbone.exists() or run.net.own:
        return [report]
    there = reachable(run.data.source)
    labelled = there and _judged_while_training(directory)
    judge = [] if directory.evaluations.exists() else [NextStep("evaluate", f"stopgrad evaluate {name}", "kNN and linear accuracy")]
    if judge and not labelled:
        judge = [NextStep("evaluate", f"stopgrad evaluate {name} --data LABELLED", "kNN and linear accuracy, on labelled images that you name")]
    healthy = directory.status().get("verdict", {}).get("state", "healthy") == "healthy"
    images = shlex.quote(run.data.source) if there else "IMAGES"
    rule = f" --labels {run.data.labels}" if there and run.data.labels != "auto" else ""
    embed = [NextStep("embed", f"stopgrad embed {name} {images}{rule}", "An embedding an image, shown by the report")]
    if not healthy or directory.embeddings.exists():
        embed = []
    target = "timm" if timm_can_express(run.net) else "safetensors"
    export = [NextStep("export", f"stopgrad export {name} --to {target}", "The backbone for other code")]
    if not healthy or (path / EXPORTS[target]).exists():
        export = []
    return [*(judge if labelled else []), *embed, report, *export, *([] if labelled else judge)]


def next_lines(path: Path) -> list[str]:
    """Return ``next_steps`` as a terminal shows them."""
    steps = next_steps(path)
    width = max(len(step.command) for step in steps)
    return ["next:", *(f"  {step.command.ljust(width)}  {step.purpose}" for step in steps)]


def timm_can_express(net: Net) -> bool:
    """Whether timm has the network for sure. Of a name without a prefix only an import of timm could tell."""
    return net.backbone.startswith("timm/") or (net.backbone in RESNETS and (net.stem, net.width) == ("imagenet", 64))


def _judged_while_training(directory: RunDirectory) -> bool:
    """Whether the monitor had labelled images to judge by, and so has ``stopgrad evaluate``; the configuration does not tell."""
    return directory.metrics.exists() and b'"knn"' in directory.metrics.read_bytes()
