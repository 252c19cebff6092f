"""The table of a comparison, in the form of the SimSiam paper's Table 4: settings, then accuracy as mean ± standard deviation over seeds."""

import csv
import io
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stopgrad.accuracies import FEATURES, least_difference
from stopgrad.compare.rows import PROTOCOLS, Row, verdict
from stopgrad.config import Run
from stopgrad.files import write_whole
from stopgrad.progress import table
from stopgrad.recipes.published import Published, published
from stopgrad.report.wording import mean_and_std
from stopgrad.runs import RunDirectory

HEAD = ("method", "batch", "negatives", "momentum encoder", "epochs", "seeds", *PROTOCOLS, "verdict", "published")


@dataclass(frozen=True)
class Line:
    """A line of the table."""

    method: str
    settings: tuple[str, ...]
    """batch, negatives, momentum encoder, epochs."""
    scores: dict[str, tuple[float, ...]]
    """Protocol to top-1 of every seed, 0..1."""
    verdict: str
    published: tuple[Published, ...] = ()

    def cells(self) -> list[str]:
        """Return the line's cells, as in HEAD."""
        seeds = max((len(s) for s in self.scores.values()), default=0)
        known = "; ".join(f"{p.top1:.1f} {p.protocol}" for p in self.published)
        return [self.method, *self.settings, str(seeds), *(mean_and_std(self.scores.get(p, ()), none="") for p in PROTOCOLS), self.verdict, known]


def lines(rows: Sequence[Row], classes: tuple[str, ...], images: int) -> list[Line]:
    """Return the lines of what is judged so far: raw pixels, random initialisation, then a line a method in the order given."""
    judged = [row for row in rows if row.judged()]
    if not judged:
        return []
    none = ("", "", "", "")
    scratch = [row for row in judged if row.baselines]  # every method of a seed begins with the same backbone
    found = []
    if scratch:
        pixels: dict[str, tuple[float, ...]] = {p: (scratch[0].scores()["pixels", p],) for p in PROTOCOLS}
        found = [Line(FEATURES["pixels"], none, pixels, ""), Line(FEATURES["random"], none, _scores(scratch, "random"), "")]
    for method in dict.fromkeys(row.method for row in rows):
        own = [row for row in judged if row.method == method]
        if not own:
            continue
        run = RunDirectory(own[0].out).read_config()
        verdicts = sorted({verdict(row) for row in own})
        known = published(classes, images, run)
        found.append(Line(method, _settings(run), _scores(own, "backbone"), ", ".join(verdicts), tuple(known)))
    return found


def _scores(rows: Sequence[Row], features: str) -> dict[str, tuple[float, ...]]:
    return {p: tuple(row.scores()[features, p] for row in rows) for p in PROTOCOLS}


def _settings(run: Run) -> tuple[str, ...]:
    method = run.method
    return (str(run.train.batch), "yes" if method.negatives else "", "yes" if method.slow_copy else "", str(run.train.epochs))


def as_text(found: Sequence[Line]) -> list[str]:
    """Return the table for a terminal, columns without any entry left out."""
    grid = [list(HEAD), *(line.cells() for line in found)]
    keep = [i for i in range(len(HEAD)) if any(row[i] for row in grid[1:])]
    cut = [[row[i] for i in keep] for row in grid]
    return table(cut[0], cut[1:])


def reading(row: Row) -> str:
    """Return how the table is read, as a judged row was made; few images allow fewer than 200 neighbours."""
    records = [r for r in row.records() if r["protocol"] in PROTOCOLS]
    neighbours = next(r["settings"]["k"] for r in records if r["protocol"] == "knn")
    least = max(least_difference(record["interval"]) for record in records)
    return (
        f"Top-1, per cent, last epoch, mean ± standard deviation over seeds, on {records[0]['test_images']:,} test images: between two runs, "
        f"less than about {least:.1f} points may be chance of these images. knn: {neighbours} neighbours, T 0.1. lbfgs: a linear classifier on "
        "frozen features, its l2 chosen on held-out training images."
    )


def write(found: Sequence[Line], how: str, commands: Sequence[str], out: Path) -> list[Path]:
    """Write the table as Markdown, with ``how`` it is read, the commands behind it and the published numbers' sources, and as CSV; return where."""
    sources = sorted({p.source for line in found for p in line.published})
    grid = [list(HEAD), ["---"] * len(HEAD), *(line.cells() for line in found)]
    text = ["| " + " | ".join(row) + " |" for row in grid]
    text += ["", *textwrap.wrap(how, 150)]
    text += [f"Published: {'; '.join(sources)}."] if sources else []
    text += ["", "```", *commands, "```"]
    markdown, values = out / "comparison.md", out / "comparison.csv"
    write_whole(markdown, ("\n".join(text) + "\n").encode())
    buffer = io.StringIO()
    csv.writer(buffer).writerows([HEAD, *(line.cells() for line in found)])
    write_whole(values, buffer.getvalue().encode())
    return [markdown, values]
