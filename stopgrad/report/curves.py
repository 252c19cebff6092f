"""Which curves a run has, what they are measured against, and how to read them."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from stopgrad.config import Run
from stopgrad.report.charts import Chart, Reference, Series, hover, svg, thin
from stopgrad.report.files import RunFiles
from stopgrad.report.wording import readable


@dataclass(frozen=True)
class Drawn:
    """One chart of the page; ``last`` are the series' last values, as readable text, with their colours."""

    key: str
    title: str
    note: str
    svg: Markup
    last: tuple[tuple[int, str], ...]


def draw(runs: Sequence[RunFiles]) -> tuple[list[Drawn], list[dict[str, Any]]]:
    """Return the charts of ``runs``, one line a run in each, and the data of their hover; quantities never recorded are left out."""
    marks = [(r.collapsed_since, i) for i, r in enumerate(runs) if r.collapsed_since is not None]
    charts = [chart for chart in _charts(runs) if chart.series]
    drawn = [Drawn(c.key, c.title, c.note, svg(c, marks), tuple((s.colour, readable(s.values[-1], c.percent)) for s in c.series)) for c in charts]
    return drawn, [hover(c) for c in charts]


def _charts(runs: Sequence[RunFiles]) -> Iterable[Chart]:
    lowest = sorted({low for r in runs if (low := r.config.method.lowest_loss) is not None})
    yield Chart(
        key="loss",
        title="Loss",
        note="A collapse reaches the floor at once; a falling loss alone proves nothing."
        if lowest
        else "Comparable only between runs of one method.",
        series=_series(runs, "loss"),
        references=tuple(Reference(low, f"{low:g}: two views agree fully".replace("-", "−")) for low in lowest),
        include=(0,) if lowest else (),
    )
    yield Chart(
        key="std",
        title="Output std × √d",
        note="How differently images are represented. Healthy runs stay near 1.",
        series=_series(runs, "std"),
        references=(Reference(1, "1: isotropic"), Reference(0, "0: collapse")),
    )
    limits = sorted({limit for r in runs if (limit := most_rank(r.config)) is not None})
    yield Chart(
        key="rank",
        title="Effective rank",
        note="How many directions the outputs use (RankMe), of as many as the smaller of batch and width allows.",
        series=_series(runs, "rank"),
        references=(Reference(1, "1: collapse"), *(Reference(limit, f"{limit:,}: the most possible") for limit in limits)),
        log=True,
    )
    yield Chart(
        key="alignment",
        title="Alignment",
        note="Mean squared distance of the unit outputs of one image's two views; lower is closer.",
        series=_series(runs, "alignment"),
        references=(Reference(0, "0: views agree"),),
    )
    yield Chart(
        key="uniformity",
        title="Uniformity",
        note="How evenly the unit outputs cover the sphere; lower is more even.",
        series=_series(runs, "uniformity"),
        references=(Reference(0, "0: collapse"), Reference(-4, "−4: evenly spread")),
    )
    yield from _without_reference(runs)


def _without_reference(runs: Sequence[RunFiles]) -> Iterable[Chart]:
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
        note="Of what equal outputs give. A run that stays at 1 tells nothing apart.",
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
    yield Chart(
        key="lr",
        title="Learning rate",
        note="Of the backbone; linear warm-up if any, then a cosine or steps.",
        series=_series(runs, "lr"),
        include=(0,),
    )
    yield Chart(
        key="images_per_second",
        title="Images per second",
        note="Whole training step, two views an image.",
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


def most_rank(run: Run) -> int | None:
    """Return the highest effective rank the monitor can see: it looks at one part of a batch. None: there is no output to watch."""
    return None if run.method.width is None else min(run.train.batch // run.train.accumulate, run.method.width)


def _series(runs: Sequence[RunFiles], field: str) -> tuple[Series, ...]:
    lines = [Series(r.name, i, *r.series(field)) for i, r in enumerate(runs)]
    return tuple(thin(line) for line in lines if any(math.isfinite(v) for v in line.values))
