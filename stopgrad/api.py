"""The same in Python: pretrain, evaluate, embed, load_backbone, each what the command of its name does."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from stopgrad.beforehand import check
from stopgrad.config import RESNETS, Run, differences, from_json, to_json
from stopgrad.config.protocols import Knn, Lbfgs
from stopgrad.device import has_gpu, pick_device
from stopgrad.distributed import everyones, together, wait
from stopgrad.errors import Diverged, Lost, UserError
from stopgrad.heap import keep_heap
from stopgrad.images.bad import Bad, listed
from stopgrad.images.holdout import Subset
from stopgrad.images.opened import open_images
from stopgrad.images.sources import LabelRule, Source, Splits, open_splits
from stopgrad.inside import with_head
from stopgrad.judging import Kind, knn_probe, naming, preparation
from stopgrad.loader import Order, Supply, open_supply
from stopgrad.methods import Task, initial_backbone, initialise
from stopgrad.monitor import Listeners, Verdict
from stopgrad.nets.backbones import Backbone, wrap
from stopgrad.nets.compiled import refuse_graphs
from stopgrad.nets.files import digest, save
from stopgrad.nets.foreign import Asked
from stopgrad.nets.recompute import blocks
from stopgrad.plan import Plan, as_texts, doubts, plan, recipe_name
from stopgrad.progress import Progress
from stopgrad.protocols.features import PART
from stopgrad.protocols.judge import Settings
from stopgrad.publish.embed import Named
from stopgrad.publish.embed import embed as write_embeddings
from stopgrad.report.page import write_report as write_page
from stopgrad.runs import RunDirectory, read_lines, write_lines
from stopgrad.settle import computing_with, memory_named, repeatable, settle_precision, settle_threads
from stopgrad.thumbnails import thumbnails
from stopgrad.train import Outcome, local_places
from stopgrad.train import pretrain as train_loop
from stopgrad.wanted import judgeable
from stopgrad.what import judged, open_what, trained
from stopgrad.world import world

Images = str | os.PathLike[str] | np.ndarray | torch.Tensor | tuple[Any, Any]
"""A folder, a list, a CIFAR or IDX folder, ``bundled``; or an array (N, H, W) or (N, H, W, C), uint8 or uint16.

Labels come with them: a folder a class, a list's label column, or (images, labels) of arrays, labels (N,) whole numbers from 0.
"""


def _quiet(line: str) -> None:
    """Nobody listens."""


def pretrain(
    images: Images,
    out: str | os.PathLike[str],
    *,
    recipe: str | None = None,
    method: str | None = None,
    labels: LabelRule = "auto",
    settings: Mapping[str, Any] | None = None,
    backbone: nn.Module | None = None,
    device: str = "auto",
    listeners: Listeners | None = None,
) -> Outcome:
    """Train a backbone on ``images`` into the run directory ``out``; the same call again resumes.

    ``recipe`` is a name that ``stopgrad recipes`` lists; without one, ``method`` (SimSiam) is fitted to the images.
    ``settings`` are overrides by path, such as ``{"train.epochs": 50, "net.backbone": "resnet34"}``; ``backbone`` is a module of your own
    (N, C, H, W) to (N, features), instead of a named one. Labels, where ``images`` has them, train the methods supervised and supcon, and
    let the monitor and ``evaluate`` judge the others, on a tenth held out where there is no test part; ``labels="none"`` drops them.
    It says on stderr how it goes, as the command does, or to ``listeners``: ``stopgrad.Listeners()`` is silent.
    Raises UserError for what you can mend, Diverged when the loss is not finite.
    """
    own = {} if backbone is None else {"net.backbone": f"module:{type(backbone).__name__}"}
    name, overrides = recipe_name(recipe, method), {"data.labels": labels} | own | as_texts(settings or {})
    check(name, overrides, out=Path(out))
    splits = open_images(_spec(images), cast(LabelRule, overrides["data.labels"]))
    planned = plan(splits, splits.train.name, name, Path(out), overrides, has_gpu)
    if listeners is not None:
        return carry_out(planned, splits, device, listeners, backbone)
    progress = Progress(sys.stderr)
    try:
        return carry_out(planned, splits, device, Listeners(progress.line, progress.record, progress.step), backbone)
    finally:
        progress.close()


def carry_out(planned: Plan, splits: Splits, device_name: str, listeners: Listeners, module: nn.Module | None = None) -> Outcome:
    """Train what was planned, resuming where it stands; write the backbone when the schedule is done. A finished run is left alone."""
    directory = planned.directory
    if planned.finished:
        status = directory.status()
        return Outcome("finished", status["step"], status["steps"], status["seconds"], Verdict(**status["verdict"]))
    device = pick_device(device_name)
    keep_heap()
    with together(device):
        _planned_alike(planned)
        with directory.begun():
            return _carry_out(planned, splits, device, listeners if world().first else Listeners(), module)


def _planned_alike(planned: Plan) -> None:
    """Wait until every process has read what stands in the directory, before one of them writes; and see that all want the same."""
    wanted = to_json(planned.run)
    for rank, other in enumerate(everyones((wanted, planned.resumes))):
        if other != (wanted, planned.resumes):
            changes = ", ".join(differences(planned.run, from_json(other[0]))) or "one resumes and one does not: is the folder shared?"
            raise UserError(f"{planned.directory.path}: processes {world().rank} and {rank} plan different runs ({changes}); start all alike")


def _carry_out(planned: Plan, splits: Splits, device: torch.device, listeners: Listeners, module: nn.Module | None) -> Outcome:
    directory = planned.directory
    try:
        with memory_named(planned.run):
            outcome = _train(planned, splits, device, listeners, module)
    except (UserError, Diverged, Lost) as error:
        if directory.exists():
            state = "diverged" if isinstance(error, Diverged) else directory.status().get("verdict", {}).get("state", "healthy")
            directory.update_status(state="failed", verdict=asdict(Verdict(state, str(error))))
        if isinstance(error, Diverged):
            wait()  # all see it alike; torchrun would end the first while it writes
        raise
    ended = {"state": outcome.state, "step": outcome.step, "steps": outcome.steps, "seconds": outcome.seconds}
    directory.update_status(**ended, verdict=asdict(outcome.verdict))
    return outcome


def _train(planned: Plan, splits: Splits, device: torch.device, listeners: Listeners, module: nn.Module | None) -> Outcome:
    """Make everything, and only when all of it stands write the configuration: a mistake until then leaves no run behind."""
    directory, run = planned.directory, planned.run
    if splits.test is not None and isinstance(splits.test, Subset) and not planned.resumes:
        listeners.line(f"{len(splits.test)} of {len(splits.train) + len(splits.test)} labelled images are held out for judging (--labels none: none)")
    repeatable(run, device)
    supply, residence = open_supply(splits.train, run.data, device, listeners.line, lambda bad: _name_bad(directory, bad, listeners))
    initial = initial_backbone(run) if module is None else wrap(module, run.data.channels, run.views[0].size)
    if not planned.resumes:
        _take_weights(run, initial)  # before slow copies are made of it
    classes = None if splits.train.classes is None else len(splits.train.classes)
    method = initialise(run, Task(len(supply), run.train.batch, classes), initial)
    if not planned.resumes:
        precision = settle_precision(run, initial, device)
        run = replace(run, data=replace(run.data, residence=residence), train=replace(run.train, precision=precision))
        Order(run.train.seed, len(supply), run.train.batch)  # raises when there are too few images,
        local_places(run)  # and this when they cannot be shared out,
        refuse_graphs(run.train, device)  # and this where it cannot be compiled so,
        if run.train.recompute:
            blocks(initial, run.net.backbone)  # and this when the backbone has none
        for line in doubts(run, supply.short_side):
            listeners.line(f"note: {line}")
        run = replace(run, train=replace(run.train, threads=settle_threads(run, initial, device)))
        directory.write_environment(splits.train.fingerprint())
    directory.write_config(run)
    bad = len(read_lines(directory.bad_images))
    chosen = {} if planned.resumes else {"chosen": planned.reasons, "verdict": asdict(Verdict())}
    directory.update_status(state="running", images={"used": len(supply), "bad": bad}, **chosen)
    probe = listeners.probe or (knn_probe(run, splits, device) if world().first else None)
    with computing_with(run.train.threads):
        outcome = train_loop(run, method, supply, directory, device, replace(listeners, probe=probe))
    if outcome.state == "finished" and world().first:
        assert isinstance(method.backbone, Backbone)
        named = None if module is not None else replace(run.net, init=None)
        extra = {"recipe": run.recipe, "step": str(outcome.step)}
        save(directory.backbone, method.backbone, named, run.data.size, run.data.mean, run.data.std, extra)
    return outcome


def _name_bad(directory: RunDirectory, bad: Sequence[Bad], listeners: Listeners) -> None:
    """Write the images set aside to bad_images.jsonl, beside those known from before, and name the first."""
    known = {r["name"]: r["reason"] for r in read_lines(directory.bad_images)} | dict(bad)
    if directory.writes:
        write_lines(directory.bad_images, [{"name": n, "reason": r} for n, r in known.items()])
    if bad:
        listeners.line(f"set aside: {listed(bad)} (all in {directory.bad_images})")


def _take_weights(run: Run, backbone: nn.Module) -> None:
    """Start from ``net.init``, where one is named."""
    if run.net.init is None:
        return
    stem = run.net.stem if run.net.backbone in RESNETS else None
    try:
        backbone.load_state_dict(trained(run.net.init, Asked(stem=stem)).backbone.state_dict())
    except UserError as error:
        raise UserError(f"net.init: {error}") from None
    except RuntimeError:
        raise UserError(f"net.init: the backbone of {run.net.init} is not a {run.net.backbone} as this run has it") from None


def evaluate(
    what: str | os.PathLike[str],
    protocols: Sequence[Settings] = (Knn(), Lbfgs()),
    *,
    data: Images | Splits | None = None,
    labels: LabelRule = "auto",
    features: Sequence[Kind] = ("pixels", "random", "backbone"),
    head: int = 0,
    device: str = "auto",
    backbone: nn.Module | None = None,
    layout: str | None = None,
    stem: str | None = None,
    size: int | None = None,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
    out: str | os.PathLike[str] | None = None,
    tell: Callable[[str], None] = _quiet,
) -> list[dict[str, Any]]:
    """Judge a backbone, raw pixels and the same backbone at random initialisation; append the records to evaluations.jsonl and return them.

    ``what``: a finished run; a backbone file, an exported one or another project's checkpoint; or a network's name, with weights such as
    ``torchvision/resnet50:IMAGENET1K_V2``, ``timm/resnet50.a1_in1k`` or ``timm/resnet50:FILE``. ``data``: labelled images, where not a run's own,
    such as ``(images, labels)`` of arrays; of a source without a test part a tenth is judged on, and the rest learned from. ``features``: which of
    the three; ``head``: take a run's backbone after so many layers of the projector; ``backbone``: a fresh module, of a run on a module of your own.
    ``layout``, ``stem``, ``size``, ``mean``, ``std``: what the file of another project does not say; ``out``: the folder of the evaluations of what
    is no run (default: evaluations/NAME-DIGEST). Raises UserError for what you can mend.
    """
    if backbone is None:
        judgeable(os.fspath(what), layout, data, head)
    given = Asked(layout=layout, stem=stem, size=size, mean=mean, std=std)
    on, opened = pick_device(device), open_what(os.fspath(what), given, head=head, module=backbone, out=None if out is None else Path(out))
    splits = data if isinstance(data, Splits) else opened.images(None if data is None else _spec(data), labels)
    return judged(opened, protocols, splits, features, on, tell)


def embed(
    run: str | os.PathLike[str],
    images: Images,
    out: str | os.PathLike[str] | None = None,
    *,
    labels: LabelRule = "auto",
    device: str = "auto",
    backbone: nn.Module | None = None,
    tell: Callable[[str], None] = _quiet,
) -> tuple[Path, int]:
    """Write path, label and embedding of every image to a Parquet file (default: embeddings.parquet in the run); return it and how many there are.

    The label is the class's name, where ``images`` has labels. Of a source with a test part, both are written.
    Raises UserError for what you can mend.
    """
    directory, on = RunDirectory(Path(run)), pick_device(device)
    settled, trained = directory.read_config(), load_backbone(directory.path, backbone).to(on)
    target = Path(out) if out is not None else directory.embeddings
    splits = open_splits(_spec(images), labels)
    lenient = replace(settled.data, max_bad=1.0)  # what cannot be read is named, the others are wanted
    opened = [(part, open_supply(part, lenient, on, tell, naming(tell))[0]) for part in splits if part is not None]
    prep = preparation(settled.data, opened[0][1])
    batches = (named for part, supply in opened for named in _named(part, supply, tell))
    return target, write_embeddings(trained, batches, prep, target, digest(trained), on)


def _named(source: Source, supply: Supply, tell: Callable[[str], None]) -> Iterator[Named]:
    numbers = torch.split(torch.arange(len(supply)), PART)
    for some, batch in zip(numbers, supply.fetch(numbers), strict=True):
        rows = supply.keep[some.numpy()]
        labels = [None if source.labels is None or source.classes is None else source.classes[source.labels[i]] for i in rows]
        unreadable = dict(batch.bad)
        naming(tell)(batch.bad)
        keep = [k for k, i in enumerate(rows) if source.names[int(i)] not in unreadable]  # another image stands in its place
        yield Named(batch.pool, batch.rows[keep], [source.names[int(rows[k])] for k in keep], [labels[k] for k in keep])


def write_report(runs: Sequence[str | os.PathLike[str]], out: str | os.PathLike[str] | None = None) -> Path:
    """Write one self-contained HTML page of ``runs`` (default: report.html in the first) and return where."""
    folders = [Path(run) for run in runs]
    if not folders:
        raise UserError("report: name at least one run directory")
    return write_page(folders, Path(out) if out is not None else RunDirectory(folders[0]).report, thumbnails())


def load_backbone(
    what: str | os.PathLike[str], into: nn.Module | None = None, *, head: int = 0, layout: str | None = None, stem: str | None = None
) -> Backbone:
    """Return a trained backbone in evaluation mode: of a run directory, a file, another project's checkpoint, or a network's name with weights.

    ``into``: a fresh module of your own kind. ``head``: with so many layers of the projector, to fine-tune from inside the head (SimCLRv2); of a
    run directory only. ``layout``, ``stem``: what another project's file does not say; see ``evaluate``.
    """
    if head:
        return with_head(Path(what), head).eval()
    return trained(os.fspath(what), Asked(layout=layout, stem=stem), into).backbone.eval()


def _spec(images: Images) -> Any:
    return os.fspath(images) if isinstance(images, os.PathLike) else images
