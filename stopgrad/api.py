"""The same in Python: pretrain, evaluate, embed, load_backbone, each what the command of its name does."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from stopgrad.config import Run
from stopgrad.device import has_gpu, pick_device, pick_precision
from stopgrad.errors import UserError
from stopgrad.heap import keep_heap
from stopgrad.images.sources import Splits, open_splits
from stopgrad.judging import Judge, knn_probe
from stopgrad.loader import open_supply
from stopgrad.methods import initialise
from stopgrad.monitor import Listeners
from stopgrad.nets.backbones import Backbone, wrap
from stopgrad.nets.files import load, save
from stopgrad.plan import Plan, as_texts, plan
from stopgrad.runs import RunDirectory
from stopgrad.train import Diverged, Outcome
from stopgrad.train import pretrain as train_loop

Images = str | os.PathLike[str] | np.ndarray | torch.Tensor
"""A folder, a list, a CIFAR or IDX folder, ``bundled``; or an array (N, H, W) or (N, H, W, C), uint8 or uint16."""


def pretrain(
    images: Images,
    out: str | os.PathLike[str],
    *,
    recipe: str = "images",
    labels: str = "auto",
    settings: Mapping[str, Any] | None = None,
    backbone: nn.Module | None = None,
    device: str = "auto",
    listeners: Listeners | None = None,
) -> Outcome:
    """Train a backbone on ``images`` into the run directory ``out``; the same call again resumes.

    ``settings`` are overrides by path, such as ``{"train.epochs": 50, "net.backbone": "resnet34"}``; ``backbone`` is a module of your own
    (N, C, H, W) to (N, features), instead of a named one. Raises UserError for what you can mend, Diverged when the loss is not finite.
    """
    splits = open_splits(images if isinstance(images, np.ndarray | torch.Tensor) else os.fspath(images), labels)
    overrides = {"data.labels": labels} | as_texts(settings or {})
    planned = plan(splits, splits.train.name, recipe, Path(out), overrides, has_gpu)
    return carry_out(planned, splits, device, listeners or Listeners(), backbone)


def carry_out(planned: Plan, splits: Splits, device_name: str, listeners: Listeners, module: nn.Module | None = None) -> Outcome:
    """Train what was planned, resuming where it stands; write the backbone when the schedule is done."""
    directory, device = planned.directory, pick_device(device_name)
    keep_heap()
    directory.create()
    with directory.locked():
        run = _settled(planned, splits, device)
        supply, bad = open_supply(splits.train, run.data, device, directory, listeners.line)
        backbone = wrap(module, run.data.channels, run.views[0].size) if module is not None else None
        method = initialise(run, backbone)
        _take_weights(run, method.backbone)
        probe = listeners.probe or knn_probe(run, splits, supply, device)
        directory.update_status(state="running", images={"used": len(supply), "bad": bad}, verdict={"state": "healthy", "text": "", "since_step": None})
        try:
            outcome = train_loop(run, method, supply, directory, device, replace(listeners, probe=probe))
        except Diverged as diverged:
            directory.update_status(state="failed", verdict={"state": "diverged", "text": str(diverged), "since_step": None})
            raise
        verdict = {"state": outcome.verdict.state, "text": outcome.verdict.text, "since_step": outcome.verdict.since_step}
        if outcome.state == "finished":
            named = None if module is not None else run.net
            save(directory.backbone, method.backbone, named, run.views[0].size, run.data.mean, run.data.std, {"run": run.recipe, "step": str(outcome.step)})
        directory.update_status(state=outcome.state, step=outcome.step, steps=outcome.steps, seconds=outcome.seconds, verdict=verdict)
        return outcome


def evaluate(
    run: str | os.PathLike[str],
    protocol: str | Sequence[str] = ("knn", "lbfgs"),
    *,
    data: Images | None = None,
    labels: str = "auto",
    settings: str = "simsiam",
    k: int = 200,
    temperature: float = 0.1,
    device: str = "auto",
    backbone: nn.Module | None = None,
) -> list[dict[str, Any]]:
    """Judge a finished run's backbone, raw pixels and the same backbone at random initialisation; append and return the records.

    ``protocol``: knn, lbfgs (logistic regression on frozen features), linear (the papers' protocol named by ``settings``). ``data`` are
    labelled images (default: the run's own). Raises UserError without labels or without a finished backbone.
    """
    judge = Judge(RunDirectory(Path(run)), data, labels, pick_device(device), backbone)
    protocols = (protocol,) if isinstance(protocol, str) else tuple(protocol)
    return [record for name in protocols for record in judge(name, linear_settings=settings, k=k, temperature=temperature)]


def load_backbone(run: str | os.PathLike[str], into: nn.Module | None = None) -> Backbone:
    """Return the trained backbone of a run directory or a backbone file, in evaluation mode; ``into``: a fresh module of your own kind."""
    return load(backbone_file(Path(run)), into).backbone.eval()


def backbone_file(path: Path) -> Path:
    """Return the backbone file of a run directory, or ``path`` itself when it is a file. Raises UserError when there is none yet."""
    if path.is_dir():
        directory = RunDirectory(path)
        if not directory.backbone.exists():
            state = directory.status().get("state", "not begun") if directory.exists() else "no run"
            raise UserError(f"{path}: no trained backbone here yet (the run is {state}); run stopgrad pretrain to its end")
        return directory.backbone
    return path
