"""The head of the page: what became of each run, its key numbers, and what to do next."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from stopgrad.config import Run
from stopgrad.onward import NextStep
from stopgrad.progress import duration
from stopgrad.report.columns import PROTOCOLS, Column, metric_name, ordered
from stopgrad.report.curves import most_rank
from stopgrad.report.files import Judged, RunFiles
from stopgrad.report.gains import gain
from stopgrad.report.steps import command, next_steps
from stopgrad.report.wording import counted, plain, readable

JOIN = " · "
TITLES = {"unlearned": "Has not learned"}
"""What other verdicts of the monitor than the three that have words of their own are called; others by their name."""


@dataclass(frozen=True)
class Figure:
    """One key number with the words around it."""

    value: str
    name: str
    note: str
    result: bool = False
    """Whether it stands in the table of results too."""


@dataclass(frozen=True)
class Summary:
    """The head of one run. ``kind``: healthy; neutral (healthy, but a gain is not shown); worse (than untrained); warned (by the monitor);
    collapsed (or diverged); unfinished."""

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


@dataclass(frozen=True)
class Besides:
    """The head of a backbone that is no run's: what it is called, what it is known by, how it was built."""

    name: str
    colour: int
    called: str
    """What it was asked for as, where the folder is called otherwise."""
    digest: str
    settings: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Overview:
    """The heads of many runs as a table: a column a figure that is not in the results below, None where a run has none.

    What all rows have in common is said once: ``setting`` above the table, (name, note) at the head of a column.
    """

    setting: str
    columns: tuple[tuple[str, str], ...]
    rows: tuple[tuple[Summary, str, tuple[Figure | None, ...]], ...]
    """(head, what is its own of the setting, figures)."""


def overview(summaries: Sequence[Summary]) -> Overview:
    """Return ``summaries`` as a table; a figure that is the same in all is left out."""
    parts = [summary.setting.split(JOIN) for summary in summaries]
    common = [part for part in parts[0] if all(part in other for other in parts)]
    held = [{figure.name: figure for figure in summary.figures} for summary in summaries]
    columns = []
    for name in dict.fromkeys(name for figures in held for name, figure in figures.items() if not figure.result):
        found = [figures.get(name) for figures in held]
        notes = {figure.note for figure in found if figure}
        if len(set(found)) > 1:
            columns.append((name, notes.pop() if len(notes) == 1 else ""))
    rows = [(summary, JOIN.join(p for p in own if p not in common)) for summary, own in zip(summaries, parts, strict=True)]
    cells = [tuple(_without(figures.get(name), note) for name, note in columns) for figures in held]
    return Overview(JOIN.join(common), tuple(columns), tuple((*row, own) for row, own in zip(rows, cells, strict=True)))


def _without(figure: Figure | None, note: str) -> Figure | None:
    return replace(figure, note="") if figure and figure.note == note else figure


def summarise(run: RunFiles, runs: Sequence[Judged]) -> Summary:
    """Return the head of ``run``, one of ``runs``."""
    kind, title, text = _verdict(run)
    if kind == "healthy":
        kind, title, text = _weighed(run, runs, text)
    return Summary(
        name=run.name,
        colour=run.colour,
        setting=_setting(run.config),
        kind=kind,
        title=title,
        text=text,
        figures=tuple(_figures(run, runs)),
        started_with=command(run),
        next_steps=tuple(next_steps(run, kind)),
        chosen=run.status.chosen if run.status else (),
    )


def besides(folder: Judged) -> Besides:
    """Return the head of ``folder``, which is no run's."""
    assert folder.what is not None
    what = folder.what
    stated = tuple((key.replace("_", " "), plain(value)) for key, value in what.settings.items())
    return Besides(folder.name, folder.colour, what.name if what.name != folder.name else "", what.digest[:12], stated)


def _verdict(run: RunFiles) -> tuple[str, str, str]:
    """Return the kind, the verdict in a few words, and what there is to say of it."""
    status, said = run.status, run.status.text if run.status else ""
    if status is not None and status.verdict == "diverged":
        return "collapsed", "Diverged", _sentence(said)
    if status is not None and status.verdict == "collapsed":
        since = run.collapsed_since
        title = "Collapsed" if since is None else f"Collapsed since step {since:,}"
        return "collapsed", title, _sentence(said.removeprefix(f"collapsed since step {since}: "))
    if status is not None and status.state == "finished" and status.verdict != "healthy":
        title = TITLES.get(status.verdict, _sentence(status.verdict))
        return "warned", title, _sentence(said.removeprefix(f"{title.lower()}: "))
    spread = run.last("std")
    if not said and spread is not None:
        said = f"The output std × √d is {readable(spread)} at the last record; 1 is isotropic, 0 is collapse."
    if status is not None and status.state == "finished":
        return "healthy", "Healthy", said
    if not run.step:
        return "unfinished", "Not started", said or "Nothing was recorded yet."
    state = status.state.capitalize() if status else "Unfinished"
    return "unfinished", f"{state} at step {run.step:,} of {_steps(run):,}", said


def _weighed(run: RunFiles, runs: Sequence[Judged], said: str) -> tuple[str, str, str]:
    """Return the verdict on a run without collapse once the results are looked at: healthy is not yet better than untrained."""
    gains = [found for column in _judged(run) if (found := gain(run, column, runs)) is not None and found.interval is not None]
    kinds = {found.kind for found in gains}
    if not gains or "better" in kinds:
        return "healthy", "Healthy", said
    if "worse" in kinds:
        return "worse", "No collapse, but worse than untrained", f"{said} The same network at random initialisation does better.".strip()
    images = max(found.images or 0 for found in gains)
    doubt = f"On {counted(images, 'test image')} it" if images else "It"
    return "neutral", "No collapse; no gain shown", f"{said} {doubt} cannot be told from the same network at random initialisation.".strip()


def _judged(run: RunFiles) -> list[Column]:
    """Return the columns that the backbone was judged in, by protocols that are known."""
    return [column for column in ordered(e.column for e in run.evaluations if e.features == "backbone") if column.protocol in PROTOCOLS]


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
    parts = [
        run.method.name,
        run.net.backbone + stem,
        sizes,
        counted(run.train.epochs, "epoch"),
        f"batch {run.train.batch}",
        f"seed {run.train.seed}",
    ]
    return JOIN.join(parts)


def _figures(run: RunFiles, runs: Sequence[Judged]) -> list[Figure]:
    found = []
    for column in _judged(run)[:2]:
        result, gained = run.evaluation(column, "backbone"), gain(run, column, runs)
        assert result is not None
        note = f"{metric_name(column.metric)}{f', {gained.words}' if gained else ''}"
        found.append(Figure(f"{100 * result.value:.1f} %", replace(column, metric="top1").full_title, note, result=True))
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
        aside = f"{run.status.bad:,} set aside" if run.status.bad else "none set aside"
        others = f", {run.test_images:,} more to judge on" if run.test_images else ""
        found.append(Figure(f"{run.status.used:,}", "training images", aside + others))
    seconds = run.last("seconds")
    if seconds is not None:
        found.append(Figure(duration(seconds), "training time", counted(run.step, "step")))
    return found
