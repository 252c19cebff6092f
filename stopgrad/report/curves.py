"""Which curves a run has, what they are measured against, and how to read them."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from stopgrad.config import Run
from stopgrad.report.charts import Chart, Reference, Series, hover, svg, thin
from stopgrad.report.files import RunFiles
from stopgrad.report.wording import counted, readable


@dataclass(frozen=True)
class Drawn:
    """One chart of the page; ``last`` are the series' last values, as readable text, with their colours."""

    key: str
    title: str
    note: str
    log: bool
    references: tuple[str, ...]
    svg: Markup
    last: tuple[tuple[int, str], ...]


def draw(runs: Sequence[RunFiles]) -> tuple[list[Drawn], list[dict[str, Any]]]:
    """Return the charts of ``runs``, one line a run in each, and the data of their hover; quantities never recorded are left out."""
    marks = [(r.collapsed_since, r.colour) for r in runs if r.collapsed_since is not None]
    groups = (_of_outputs, _of_two_views, _of_learning, _of_progress)
    charts = [chart for group in groups for chart in group(runs) if chart.series]
    return [_drawn(chart, marks) for chart in charts], [hover(c) for c in charts]


def _drawn(chart: Chart, marks: Sequence[tuple[int, int]]) -> Drawn:
    last = tuple((s.colour, readable(s.values[-1], chart.percent)) for s in chart.series)
    return Drawn(
        chart.key,
        chart.title,
        chart.note,
        chart.log,
        tuple(r.label for r in sorted(chart.references, key=lambda r: -r.value)),
        svg(chart, marks),
        last,
    )


def _of_outputs(runs: Sequence[RunFiles]) -> Iterable[Chart]:
    floors = limits(runs, lambda run: run.config.method.lowest_loss, "two views agree fully")
    alone = "A collapse reaches the floor at once; a falling loss alone proves nothing."
    yield Chart(
        key="loss",
        title="Loss",
        note="Comparable only between runs of one method." if len({r.config.method.name for r in runs}) > 1 or not floors else alone,
        series=_series(runs, "loss"),
        references=floors,
        include=(0,) if floors else (),
    )
    yield Chart(
        key="std",
        title="Output std × √d",
        note="How differently images are represented. Healthy runs stay near 1.",
        series=_series(runs, "std"),
        references=(Reference(1, "1: isotropic", bound=False), Reference(0, "0: collapse")),
    )
    yield Chart(
        key="rank",
        title="Effective rank",
        note="How many directions the outputs use (RankMe), of as many as the smaller of batch and width allows.",
        series=_series(runs, "rank"),
        references=(
            Reference(1, "1: collapse"),
            *limits([r for r in runs if r.series("rank")[0]], lambda run: most_rank(run.config), "the most possible"),
        ),
        log=True,
    )


def _of_two_views(runs: Sequence[RunFiles]) -> Iterable[Chart]:
    distances = _series(runs, "alignment")
    far = any(value > 1 for line in distances for value in line.values)  # else the line would only flatten the curves
    yield Chart(
        key="alignment",
        title="Alignment",
        note="Mean squared distance of the unit outputs of one image's two views; lower is closer.",
        series=distances,
        references=(Reference(0, "0: views agree"), *([Reference(2, "2: views are unrelated", bound=False)] if far else [])),
    )
    yield Chart(
        key="told_apart",
        title="Views told apart",
        note="How often a view is nearer to the other view of its image than to another image's.",
        series=_series(runs, "told_apart"),
        references=(Reference(0.5, "50%: chance"), Reference(1, "100%: always", bound=False)),
        percent=True,
    )
    yield Chart(
        key="uniformity",
        title="Uniformity",
        note="How evenly the unit outputs cover the sphere; lower is more even. −4 is an average: the outputs of one batch can lie below it.",
        series=_series(runs, "uniformity"),
        references=(Reference(0, "0: collapse"), Reference(-4, "−4: independent directions, d large", bound=False)),
    )


def _of_learning(runs: Sequence[RunFiles]) -> Iterable[Chart]:
    yield Chart(
        key="knn",
        title="kNN while training",
        note="Top-1 of the monitor's neighbours, to watch the trend; the results above follow a stated protocol.",
        series=_series(runs, "knn"),
        percent=True,
    )
    yield Chart(
        key="of_chance",
        title="Loss, as a share of chance",
        note="Of the least that outputs which tell nothing apart can have. A run that stays at 1 has learned nothing.",
        series=_series(runs, "of_chance"),
        references=(Reference(1, "1: chance"),),
        include=(0,),
    )
    yield Chart(
        key="accuracy",
        title="Accuracy at its own task",
        note="Share of the views that find their other view, or their class. Of keys in a queue, 100 % means that BN gives them away.",
        series=_series(runs, "accuracy"),
        percent=True,
    )


def _of_progress(runs: Sequence[RunFiles]) -> Iterable[Chart]:
    yield Chart(
        key="lr",
        title="Learning rate",
        note=f"Of the backbone: {'; '.join(dict.fromkeys(_schedule(run.config) for run in runs))}.",
        series=_series(runs, "lr"),
        include=(0,),
    )
    yield Chart(
        key="images_per_second",
        title="Images per second",
        note=f"Whole training step, {_views(runs)} an image.",
        series=_series(runs, "images_per_second"),
        include=(0,),
    )
    yield Chart(
        key="waiting",
        title="Time waiting for images",
        note="Share of the training time. Above some per cent, reading is the bottleneck.",
        series=_series(runs, "waiting"),
        include=(0, 0.05),
        percent=True,
    )


def limits(runs: Sequence[RunFiles], limit: Callable[[RunFiles], float | None], words: str) -> tuple[Reference, ...]:
    """Return a line for every limit that a run has, rising, and whose it is where the runs do not all share it."""
    held: dict[float, list[RunFiles]] = {}
    for run in runs:
        if (value := limit(run)) is not None:
            held.setdefault(value, []).append(run)
    return tuple(
        Reference(value, f"{value:,g}: {words}".replace("-", "−") + ("" if len(own) == len(runs) else f" ({_whose(own, runs)})"))
        for value, own in sorted(held.items())
    )


def _whose(own: Sequence[RunFiles], runs: Sequence[RunFiles]) -> str:
    """Return the methods of ``own`` where they tell them from the other ``runs``, else their names."""
    methods = dict.fromkeys(run.config.method.name for run in own)
    apart = all(run.config.method.name not in methods for run in runs if run not in own)
    return ", ".join(methods if apart else (run.name for run in own))


def _schedule(run: Run) -> str:
    """Return the shape of the learning rate in words."""
    warm = f"{counted(run.optim.warmup_epochs, 'epoch')} of linear warm-up, then " if run.optim.warmup_epochs else ""
    drops = f"steps down after {' and '.join(f'{epoch:g}' for epoch in run.optim.drop_epochs)} epochs"
    return warm + ("a cosine" if run.optim.schedule == "cosine" else drops)


def _views(runs: Sequence[RunFiles]) -> str:
    counts = sorted({len(run.config.shown) for run in runs})
    return f"{' or '.join(map(str, counts))} view{'' if counts == [1] else 's'}"


def most_rank(run: Run) -> int | None:
    """Return the highest effective rank the monitor can see: it looks at one part of a batch. None: there is no output to watch."""
    return None if run.method.width is None else min(run.train.batch // run.train.accumulate, run.method.width)


def _series(runs: Sequence[RunFiles], field: str) -> tuple[Series, ...]:
    lines = [Series(r.name, r.colour, *r.series(field)) for r in runs]
    return tuple(thin(line) for line in lines if any(math.isfinite(v) for v in line.values))
