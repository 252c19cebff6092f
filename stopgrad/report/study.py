"""The page of studies: question, verdicts, table, figure and commands, all from results.json and the runs beside it."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from markupsafe import Markup

import stopgrad
from stopgrad.errors import UserError
from stopgrad.files import write_whole
from stopgrad.report.bars import Bar, bars
from stopgrad.report.charts import COLOURS, FRAME
from stopgrad.report.columns import PROTOCOLS
from stopgrad.report.curves import Drawn, draw
from stopgrad.report.files import RunFiles, read_run
from stopgrad.report.heat import Cell, heat
from stopgrad.report.page import environment
from stopgrad.report.records import RESULTS, Record, records
from stopgrad.report.wording import mean_and_std

BETTER = {1: "higher", -1: "lower"}
"""Sign that the correlation of a score should have, to which values of it are said to be better."""
CURVES = ("loss", "std", "knn")
"""What a study's curves are of, as in the SimSiam paper's Fig. 2."""
KINDS = {"holds": "healthy", "does not hold": "collapsed", "cannot be told": "warned"}
"""Outcome of a finding to the colour of the page."""


@dataclass(frozen=True)
class Line:
    """A row of the table."""

    name: str
    changes: str
    colour: int
    cells: tuple[str, ...]
    """Every figure."""
    difference: str
    std: str
    states: str
    published: str
    verdicts: tuple[tuple[str, str, str, str], ...]
    """(kind, finding, outcome, what it rests on)."""


@dataclass(frozen=True)
class Section:
    """One study on the page."""

    record: Record
    lines: tuple[Line, ...]
    untrained: tuple[str, ...]
    """The figures of the random initialisation, and the paper's; empty where it was not judged."""
    told: dict[str, int]
    """Outcome to how many findings have it."""
    figure: Markup
    map: Markup | None
    charts: tuple[Drawn, ...]

    @property
    def told_words(self) -> list[str]:
        """How many findings have each outcome, in words."""
        return [
            f"{count} {outcome if count == 1 else outcome.replace('holds', 'hold').replace('does', 'do')}" for outcome, count in self.told.items()
        ]


def write_studies(folder: Path, out: Path) -> Path:
    """Write the page of all studies in ``folder`` to ``out`` and return it. Raises UserError when results.json is damaged, and when it has none."""
    there = records(folder / RESULTS)
    if not there:
        raise UserError(f"{folder / RESULTS}: has no study; stopgrad study writes one there")
    made = [_section(folder, record) for record in there.values()]
    data = {"charts": [hover for _, hovers in made for hover in hovers], "frame": FRAME}
    sections = [section for section, _ in made]
    title = sections[0].record["study"] if len(sections) == 1 else f"{len(sections)} studies"
    template = environment().get_template("study.html.jinja")
    page = template.render(
        title=title,
        sections=sections,
        data=data,
        folder=str(folder),
        names=PROTOCOLS,
        reading=reading,
        better=BETTER,
        correlation=correlation,
        version=stopgrad.__version__,
    )
    write_whole(out, page.encode())
    return out


def _section(folder: Path, record: Record) -> tuple[Section, list[Record]]:
    names = [figure["name"] for figure in record["figures"]]
    main = names[0]
    outcomes = [verdict["outcome"] for row in record["rows"] for verdict in row["verdicts"]]
    began = record["random"][main]
    figure = bars([_bar(row, main) for row in record["rows"]], statistics.fmean(began) if began else None, record["question"])
    charts, hovers = _curves(folder, record) if record["curves"] else ((), [])
    section = Section(
        record=record,
        lines=tuple(_line(row, record, i) for i, row in enumerate(record["rows"])),
        untrained=(*(mean_and_std(record["random"][name]) for name in names), published(record["untrained"])) if began else (),
        told={outcome: outcomes.count(outcome) for outcome in KINDS if outcome in outcomes},
        figure=figure,
        map=_map(record, main) if record["grid"] else None,
        charts=charts,
    )
    return section, hovers


def _line(row: Record, record: Record, colour: int) -> Line:
    stds = [std for std in row["std"] if std is not None]
    return Line(
        name=row["name"],
        changes=changed(row, record),
        colour=colour,
        cells=tuple(mean_and_std(row["values"][figure["name"]]) for figure in record["figures"]),
        difference=difference(row["difference"]).replace("-", "−"),
        std=f"{statistics.fmean(stds):.2f}" if stds else "–",
        states=", ".join(sorted(set(row["states"]))) or "not done",
        published=published(row["published"]),
        verdicts=tuple((KINDS[v["outcome"]], v["finding"], v["outcome"], v["said"]) for v in row["verdicts"]),
    )


def published(numbers: Sequence[float | None]) -> str:
    """Return the paper's numbers in the order of the figures, as far as there are any."""
    while numbers and numbers[-1] is None:
        numbers = numbers[:-1]
    return " / ".join("–" if number is None else f"{number:.1f}" if number >= 0.1 else f"{number:g}" for number in numbers)


def changed(row: Record, record: Record) -> str:
    """Return what a row changes and where it is judged; before that, what it begins with otherwise than the row that all are read against."""
    reference = next(one for one in record["rows"] if one["name"] == record["reference"])
    begins = [f"recipe {row['recipe']}"] if row["recipe"] != reference["recipe"] else []
    begins += [row["method"]] if row["method"] != reference["method"] and not row["recipe"].startswith(f"{row['method']}/") else []
    begins += [f"{path}={text}" for path, text in row["before"].items() if reference["before"].get(path) != text]
    values = [f"{path}={text}" for path, text in row["changes"].items()]
    values += [f"after {row['head']} layer{'s' if row['head'] > 1 else ''} of the projector"] if row["head"] else []
    return "; ".join(", ".join(part) for part in (begins, values) if part)


def difference(found: Record | None) -> str:
    """Return a difference, points, and its interval; empty where there is none."""
    if found is None:
        return ""
    ends = f" ({found['interval'][0]:+.1f} to {found['interval'][1]:+.1f})" if found["interval"] else ""
    return f"{found['points']:+.1f}{ends}"


def correlation(found: Record) -> str:
    """Return a rank correlation, its interval, and over how many rows it is."""
    ends = f" ({found['interval'][0]:+.2f} to {found['interval'][1]:+.2f})" if found["interval"] else ""
    return f"{found['rho']:+.2f}{ends} over {found['rows']} rows"


def reading(record: Record, main: str) -> str:
    """Return how the table is read, whose first figure is called ``main``."""
    seeds = record["seeds"]
    what = "Top-1, per cent" if all(figure["metric"] == "top1" for figure in record["figures"]) else "Per cent"
    few = " Few seeds give wide intervals." if 1 < seeds <= 5 else " One seed gives no interval." if seeds == 1 else ""
    of = f" of {main}" if len({figure["data"] for figure in record["figures"]}) > 1 else ""
    images = f" on {record['test_images']:,} test images{of}" if record["test_images"] else ""
    images += f" (between two runs, less than about {record['noise']:.1f} points may be chance of these images)" if record["noise"] else ""
    said = f"{what}, last epoch{images}{', mean ± standard deviation over seeds' if seeds > 1 else ''}. "
    apart = [row["difference"] for row in record["rows"] if row["difference"]]
    if apart:
        paired = "paired by seed (same initial backbone, order and views, as far as a row leaves them)"
        over = (
            "Student's over seeds, and the test images'"
            if all(one["images_told"] for one in apart)
            else "Student's over seeds; of the images nothing is told"
        )
        said += f"Difference: {main}, to {record['reference']!r}, {paired}, with its 95 % interval: {over}.{few}"
    return said + (f" {record['remark']}" if record["remark"] else "")


def _bar(row: Record, main: str) -> Bar:
    apart = row["difference"]
    ends = (apart["interval"][0], apart["interval"][1]) if apart and apart["interval"] else None
    values = tuple(value for value in row["values"][main] if value is not None)
    return Bar(row["name"], values, apart["points"] if apart else None, ends, "collapsed" in row["states"])


def _map(record: Record, main: str) -> Markup:
    across, down = record["grid"]["fields"]
    cells = []
    for row in record["rows"]:
        values = [value for value in row["values"][main] if value is not None]
        x, y = record["grid"]["at"][row["name"]]
        cell = Cell(x, y, statistics.fmean(values) if values else None, bool({"collapsed", "diverged"} & set(row["states"])))
        cells += [cell, replace(cell, across=y, down=x)] if record["grid"].get("mirrored") and x != y else [cell]
    return heat(cells, (across, down), record["question"])


def _curves(folder: Path, record: Record) -> tuple[tuple[Drawn, ...], list[Record]]:
    """Return the charts of loss, std and kNN against the step, a colour a row and a dash a seed, and the data of their hover."""
    runs: list[RunFiles] = []
    for colour, row in enumerate(record["rows"]):
        for turn, run in enumerate(row["runs"]):
            if (folder / run / "config.json").exists():
                runs.append(replace(read_run(folder / run, f"{row['name']}, seed {turn}"), colour=colour % COLOURS + COLOURS * turn))
    drawn, hovers = draw(runs) if runs else ([], [])
    charts = tuple(replace(chart, key=f"{record['study']}-{chart.key}") for chart in drawn if chart.key in CURVES)
    return charts, [hover | {"key": f"{record['study']}-{hover['key']}"} for hover in hovers if hover["key"] in CURVES]
