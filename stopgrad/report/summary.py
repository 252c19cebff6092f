"""The head of the page: what became of each run, its key numbers, and what to do next."""

import shlex
from dataclasses import dataclass
from pathlib import PurePath

from stopgrad.config import Run
from stopgrad.progress import duration
from stopgrad.report.curves import most_rank
from stopgrad.report.files import RunFiles
from stopgrad.report.results import PROTOCOLS
from stopgrad.report.wording import readable


@dataclass(frozen=True)
class Figure:
    """One key number with the words around it."""

    value: str
    name: str
    note: str


@dataclass(frozen=True)
class NextStep:
    """A command to copy, and what it is for."""

    command: str
    purpose: str


@dataclass(frozen=True)
class Summary:
    """The head of one run; ``kind`` is healthy, collapsed or unfinished."""

    name: str
    colour: int
    setting: str
    kind: str
    title: str
    text: str
    figures: tuple[Figure, ...]
    started_with: str | None
    next_steps: tuple[NextStep, ...]
    chosen: tuple[str, ...]


def summarise(run: RunFiles, colour: int) -> Summary:
    """Return the head of ``run``."""
    kind, title, text = _verdict(run)
    return Summary(
        name=run.name,
        colour=colour,
        setting=_setting(run.config),
        kind=kind,
        title=title,
        text=text,
        figures=tuple(_figures(run)),
        started_with=command(run),
        next_steps=tuple(_next_steps(run, kind)),
        chosen=run.status.chosen if run.status else (),
    )


def command(run: RunFiles) -> str | None:
    """Return the command that started the run, as one would type it; None when environment.json does not tell."""
    words = [str(word) for word in run.environment.get("command") or ()]
    return shlex.join([PurePath(words[0]).name, *words[1:]]) if words else None


def _verdict(run: RunFiles) -> tuple[str, str, str]:
    """Return the kind, the verdict in a few words, and what there is to say of it."""
    status, said = run.status, run.status.text if run.status else ""
    if status is not None and status.verdict == "diverged":
        return "collapsed", "Diverged", _sentence(said)
    if status is not None and status.verdict == "collapsed":
        since = run.collapsed_since
        title = "Collapsed" if since is None else f"Collapsed since step {since:,}"
        return "collapsed", title, _sentence(said.removeprefix(f"collapsed since step {since}: "))
    spread = run.last("std")
    if not said and spread is not None:
        said = f"The output std × √d is {readable(spread)} at the last record; 1 is isotropic, 0 is collapse."
    if status is not None and status.state == "finished":
        return "healthy", "Healthy", said
    if not run.step:
        return "unfinished", "Not started", said or "Nothing was recorded yet."
    state = status.state.capitalize() if status else "Unfinished"
    return "unfinished", f"{state} at step {run.step:,} of {_steps(run):,}", said


def _steps(run: RunFiles) -> int:
    """Return the steps of the whole schedule; before status.json tells, from the last record's epoch."""
    if run.status is not None and run.status.steps:
        return run.status.steps
    last = run.metrics[-1]
    steps_per_epoch = float(last["step"]) / float(last["epoch"])
    return round(run.config.train.epochs * steps_per_epoch)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _setting(run: Run) -> str:
    stem = f" ({run.net.stem} stem)" if run.net.backbone.startswith("resnet") else ""
    sizes = " and ".join(f"{size} px" for size in dict.fromkeys(view.size for view in run.views))
    parts = [run.method.name, run.net.backbone + stem, sizes, f"{run.train.epochs} epochs", f"batch {run.train.batch}", f"seed {run.train.seed}"]
    return " · ".join(parts)


def _figures(run: RunFiles) -> list[Figure]:
    found = []
    for protocol in [p for p in PROTOCOLS if run.evaluation(p, "backbone")][:2]:
        result, untrained = run.evaluation(protocol, "backbone"), run.evaluation(protocol, "random")
        assert result is not None
        gain = f", {100 * (result.top1 - untrained.top1):+.1f} vs random".replace("-", "−") if untrained else ""
        found.append(Figure(f"{100 * result.top1:.1f} %", PROTOCOLS[protocol], f"top-1{gain}"))
    watched = run.last("knn")
    if not found and watched is not None:
        found.append(Figure(readable(watched, percent=True), "kNN while training", "the monitor's, last look"))
    for field, name, note in (
        ("std", "output std × √d", "1 isotropic, 0 collapse"),
        ("rank", "effective rank", f"of at most {most_rank(run.config) or 0:,}"),
    ):
        value = run.last(field)
        if value is not None:
            found.append(Figure(f"{value:,.0f}" if value >= 100 else readable(value), name, note))
    if run.status is not None and run.status.used:
        found.append(Figure(f"{run.status.used:,}", "images", f"{run.status.bad:,} set aside" if run.status.bad else "none set aside"))
    seconds = run.last("seconds")
    if seconds is not None:
        found.append(Figure(duration(seconds), "training time", f"{run.step:,} steps"))
    return found


def _next_steps(run: RunFiles, kind: str) -> list[NextStep]:
    """Return what would fill the gaps of this page, then what the backbone is for."""
    directory, source = shlex.quote(str(run.directory)), shlex.quote(run.config.data.source)
    steps = []
    if kind == "unfinished":
        again = command(run) or f"stopgrad pretrain {source} --out {directory}"
        steps.append(NextStep(again, "Go on from the last checkpoint: the command that started it, again"))
    if kind != "unfinished" and not run.evaluations:
        steps.append(NextStep(f"stopgrad evaluate {directory}", "Judge the backbone beside raw pixels and a random one (needs labels)"))
    if kind != "unfinished" and run.embeddings is None:
        steps.append(NextStep(f"stopgrad embed {directory} {source}", "Write the embeddings: nearest neighbours and the map come from them"))
    if kind == "healthy":
        steps.append(NextStep(f"stopgrad export {directory} --to timm", "Write the backbone so that plain timm (or --to torchvision) code loads it"))
    return [*steps, NextStep(f"stopgrad report {directory}", "Make this page again from the files")]
