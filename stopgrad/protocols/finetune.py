"""Fine-tuning: a copy of the backbone, and a linear classifier on it, trained on labelled images; the whole network is judged.

Where settings leave several rates, decays or lengths, each is trained on the labelled images but those held out, the best on these is trained
anew on all: no test image chooses. SimCLR, arXiv:2002.05709, App. B.5 and B.8; SimCLRv2, arXiv:2006.10029, Sec. 3.
"""

import copy
import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from stopgrad.config import Net
from stopgrad.config.transfer import Metric
from stopgrad.config.tuning import Finetune, problems
from stopgrad.errors import UserError
from stopgrad.nets.backbones import Backbone
from stopgrad.nets.classifier import Classifier, Reading, classifier_on
from stopgrad.nets.files import digest
from stopgrad.nets.norm import batch_norms
from stopgrad.protocols.features import Labelled, Preparation, features
from stopgrad.protocols.layerwise import groups
from stopgrad.protocols.lbfgs import hold_out
from stopgrad.protocols.metrics import metric_of
from stopgrad.protocols.objective import counted_of, doubts, loss_of, refuse_unlearnable, value_of
from stopgrad.protocols.tune import Lesson, NotFinite, batch_of, steps_of, train
from stopgrad.runs import append_line, read_lines


class Cell(NamedTuple):
    """One of the values tried, and what it came to."""

    lr: float
    weight_decay: float
    epochs: float | None
    """None: by steps."""
    value: float | None
    """The metric (``Tuned.metric``) on the held-out images; None where the training was not finite."""

    def record(self, metric: Metric) -> dict[str, float | None]:
        """Return the line of cells.jsonl: the value goes by the name of its metric, and accuracy where that is top-1."""
        return dict(zip(("lr", "weight_decay", "epochs", _named(metric)), self, strict=True))


@dataclass(frozen=True, eq=False, kw_only=True)
class Tuned:
    """A fine-tuned network, and how it came about."""

    network: Classifier
    """On the device, in evaluation mode."""
    settings: Finetune
    """With the values that were taken, one each."""
    loss: float
    """Mean over the last tenth of the steps."""
    tried: tuple[Cell, ...]
    """Empty where there was nothing to choose."""
    metric: Metric
    """By which it was chosen."""
    held_out: int
    """Images held out for the choice."""
    steps: int
    batch: int


@dataclass(frozen=True, kw_only=True)
class Keep:
    """Where a fine-tuned network goes, and what its file says of it besides what is known here."""

    classifier: Path
    """The file of the network, as nets/classifier.py writes it."""
    subset: Path
    """Semi-supervised: the list of the images whose labels were used."""
    net: Net | None
    """How to build the backbone; None for a module of the user's own."""
    classes: tuple[str, ...]
    """Names of the classes."""
    extra: dict[str, str]
    reading: Reading | None = None
    """How the images are read; None where nobody can say."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Task:
    """What is fine-tuned, and on what."""

    featuriser: nn.Module
    """A Backbone, which is copied; also one with layers of its projector (``inside.with_head``)."""
    images: Labelled
    classes: int
    prep: Preparation
    device: torch.device
    work: Path | None
    """A folder for what a kill would lose; a training that is asked for again goes on. None: nothing is kept."""
    tell: Callable[[str], object]
    metric: Metric | None = None
    """By which the best of several values is told on held-out images; None: top1, or map where images may show several classes."""


def finetune(task: Task, settings: Finetune) -> Tuned:
    """Return the network that ``settings`` make of the task. The same task and settings give the same network on the same device.

    Raises UserError for a task that cannot be learned, settings that cannot be, and a training that is not finite.
    """
    refuse(task, settings)
    metric = _metric(task, settings)
    place = None if task.work is None else task.work / _key(task, settings)
    cells: tuple[Cell, ...] = ()
    held_out, taken = 0, settings
    if len(wanted := _cells(settings)) > 1:
        cells, held_out = _grid(task, settings, wanted, metric, place)
        taken = _at(settings, _best(settings, cells))
    network, loss = _trained(task, taken, torch.arange(len(task.images)), place and place / "final", task.tell)
    images = len(task.images)
    steps, batch = steps_of(taken, images), batch_of(taken, images)
    return Tuned(network=network, settings=taken, loss=loss, tried=cells, metric=metric, held_out=held_out, steps=steps, batch=batch)


def refuse(task: Task, settings: Finetune) -> None:
    """Raise UserError where the task cannot be learned by fine-tuning."""
    who = _who(settings)
    if wrong := problems(settings):
        raise UserError(wrong[0])
    if not isinstance(task.featuriser, Backbone):
        raise UserError(f"{who}: trains the weights of a network, and {type(task.featuriser).__name__} has none; leave it out (--features)")
    refuse_unlearnable(who, task.images, task.classes, settings, len(_cells(settings)))
    _metric(task, settings)


def foreseen(task: Task, settings: Finetune) -> list[str]:
    """Return what a reader should know of the number, as far as it is known before the training."""
    batch = batch_of(settings, len(task.images))
    if batch == settings.batch:
        return []
    lower = "" if settings.lr_rule == "fixed" else ", and the rate lower with it"
    return [f"{_who(settings)}: the batch is {batch} instead of {settings.batch}{lower}: there are only {batch} labelled images"]


def remarks(task: Task, tuned: Tuned) -> list[str]:
    """Return what else a reader should know of the number."""
    s, said = tuned.settings, list[str]()
    held = hold_out(task.images.labels, s.held_out)[0][: tuned.held_out] if tuned.tried else torch.empty(0, dtype=torch.int64)
    said += doubts(task.images.labels, task.classes, held)
    if tuned.network.layers != s.head:
        said.append(f"trained from {_layers(tuned.network.layers)} of the projector, the settings have {s.head}")
    if tuned.tried:
        lrs = [c.lr for c in tuned.tried]
        if s.lr[0] in (min(lrs), max(lrs)) and min(lrs) < max(lrs):
            said.append(f"the best lr, {s.lr[0]:g}, is at the edge of those tried; a better one may lie beyond")
    return [f"{_who(s)}: {line}" for line in said]


def tuned_on(tuned: Tuned) -> str:
    """Return in words what was chosen on what."""
    if not tuned.tried:
        return "nothing"
    names = [
        name for name, values in zip(("lr", "weight decay", "epochs"), list(zip(*tuned.tried, strict=True))[:3], strict=True) if len({*values}) > 1
    ]
    by = "" if tuned.metric == "top1" else f" by {tuned.metric}"
    return f"{', '.join(names)}{by} on {tuned.held_out} of the labelled training images held out"


def _who(settings: Finetune) -> str:
    return f"{settings.protocol} ({settings.name})"


def _metric(task: Task, settings: Finetune) -> Metric:
    return metric_of(task.metric, task.images.several, _who(settings))


def _named(metric: Metric) -> str:
    return "accuracy" if metric == "top1" else metric


def _layers(count: int) -> str:
    return "before the layers" if count == 0 else f"layer {count}"


def _cells(settings: Finetune) -> list[Cell]:
    return [Cell(lr, decay, epochs, None) for lr, decay, epochs in product(settings.lr, settings.weight_decay, settings.epochs or (None,))]


def _at(settings: Finetune, cell: Cell) -> Finetune:
    epochs = () if cell.epochs is None else (cell.epochs,)
    return replace(settings, lr=(cell.lr,), weight_decay=(cell.weight_decay,), epochs=epochs)


def _best(settings: Finetune, cells: Sequence[Cell]) -> Cell:
    """Return the cell of the highest value; of equals the first. Raises NotFinite where there is none."""
    finite = [(c.value, -i, c) for i, c in enumerate(cells) if c.value is not None]
    if not finite:
        raise NotFinite(f"{_who(settings)}: not one of {len(cells)} rates and decays stays finite; take lower rates (lr=…)")
    return max(finite)[2]


def _grid(task: Task, settings: Finetune, wanted: list[Cell], metric: Metric, place: Path | None) -> tuple[tuple[Cell, ...], int]:
    """Return every cell with its value on held-out images, and how many these are; what stands in ``place`` already is not done again."""
    order, spared = hold_out(task.images.labels, settings.held_out)
    held, rest = order[:spared], order[spared:].sort().values
    record = place and place / "cells.jsonl"
    known = {(r["lr"], r["weight_decay"], r["epochs"]): r[_named(metric)] for r in (read_lines(record) if record else [])}
    done = []
    for i, cell in enumerate(wanted, 1):
        if cell[:3] not in known:
            folder = place and place / f"cell-{i}"
            known[cell[:3]] = _value(task, _at(settings, cell), rest, held, metric, folder)
            if record is not None and folder is not None:
                record.parent.mkdir(parents=True, exist_ok=True)
                append_line(record, cell._replace(value=known[cell[:3]]).record(metric))
                shutil.rmtree(folder, ignore_errors=True)
        done.append(cell._replace(value=known[cell[:3]]))
        task.tell(f"{_who(settings)}: {i}/{len(wanted)}: {_said(done[-1], metric, spared)}")
    return tuple(done), spared


def _said(cell: Cell, metric: Metric, spared: int) -> str:
    length = "" if cell.epochs is None else f", {cell.epochs:g} epochs"
    by = "" if metric == "top1" else f"{metric} "
    came = "not finite" if cell.value is None else f"{by}{cell.value:.1%} {'of' if metric == 'top1' else 'on'} {spared} held out"
    return f"lr {cell.lr:g}, weight decay {cell.weight_decay:g}{length}: {came}"


def _value(task: Task, settings: Finetune, rows: Tensor, held: Tensor, metric: Metric, folder: Path | None) -> float | None:
    try:
        network, _ = _trained(task, settings, rows, folder, lambda line: None)
    except NotFinite:
        return None
    images = task.images.part(held)
    return value_of(features(network, images, task.prep, task.device), images.labels, metric)


def _trained(task: Task, settings: Finetune, rows: Tensor, folder: Path | None, tell: Callable[[str], object]) -> tuple[Classifier, float]:
    assert isinstance(task.featuriser, Backbone)
    images = task.images.part(rows)
    network = classifier_on(copy.deepcopy(task.featuriser), task.classes, settings.init, settings.seed).to(task.device)
    if settings.bn_momentum == "images":
        _set_bn_momentum(network, len(images) / batch_of(settings, len(images)))
    loss = loss_of(images.labels.to(task.device), settings.smoothing)
    lesson = Lesson(fetch=images.fetch, images=len(images), loss=loss, counted=counted_of(images.labels), prep=task.prep)
    rates = groups(network, settings.layer_decay, settings.head_lr, plain_fc=settings.optimiser == "lars")
    ended = train(network, rates, lesson, settings, folder, lambda line: tell(f"{_who(settings)}: {line}"))
    return network.eval(), ended


def _set_bn_momentum(network: nn.Module, steps_per_epoch: float) -> None:
    """Let the running statistics keep max(1 − 10 / s, 0.9) of themselves a step: torch's momentum is what they do not keep."""
    for bn in batch_norms(network):
        bn.momentum = 1 - max(1 - 10 / steps_per_epoch, 0.9)


def _key(task: Task, settings: Finetune) -> str:
    """Return what tells this training's folder from all others': the settings, the weights, the classes of the images and how they are shown."""
    assert isinstance(task.featuriser, Backbone)
    about = {"protocol": settings.protocol, "weights": digest(task.featuriser), "classes": task.classes} | asdict(settings) | asdict(task.prep)
    if (metric := _metric(task, settings)) != "top1":  # cells are of a metric; folders of top-1 are called as they were before there were others
        about |= {"metric": metric}
    sha = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    sha.update(task.images.labels.numpy().astype("<i8").tobytes())
    return f"{settings.protocol}-{sha.hexdigest()[:16]}"
