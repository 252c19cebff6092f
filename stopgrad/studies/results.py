"""A study's record as a terminal, Markdown and CSV show it, and where it is kept."""

import csv
import io
import json
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stopgrad.files import write_whole
from stopgrad.progress import table
from stopgrad.report.records import FORM, RESULTS, Record, records
from stopgrad.report.study import published
from stopgrad.studies.judging import RANDOM
from stopgrad.studies.table import mean, spread


def as_text(record: Record) -> list[str]:
    """Return the question, the table and the verdicts for a terminal."""
    head, *body = (cells[:-1] for cells in _grid(record))  # findings are told below
    lines = [record["question"], f"{record['source']}; here: {record['about']}", "", *table(head, body), "", *textwrap.wrap(reading(record), 150)]
    return lines + [""] + verdicts(record) + [f"{c['score']}: rank correlation {c['rho']:+.2f} over {c['runs']} runs" for c in record["correlations"]]


def verdicts(record: Record) -> list[str]:
    """Return one line a finding."""
    return [f"{row['name']}: {v['finding']}: {v['outcome']} ({v['said']})" for row in record["rows"] for v in row["verdicts"]]


def reading(record: Record) -> str:
    """Return how the table is read."""
    seeds, main = record["seeds"], record["figures"][0]["name"]
    what = "Top-1, per cent" if all(figure["metric"] == "top1" for figure in record["figures"]) else "Per cent"
    few = " Few seeds give wide intervals." if 1 < seeds <= 5 else " One seed gives no interval." if seeds == 1 else ""
    of = f" of {main}" if len({figure["data"] for figure in record["figures"]}) > 1 else ""
    images = f" on {record['test_images']:,} test images{of}" if record["test_images"] else ""
    images += f" (between two runs, less than about {record['noise']:.1f} points may be chance of these images)" if record["noise"] else ""
    said = f"{what}, last epoch{images}{', mean ± standard deviation over seeds' if seeds > 1 else ''}. "
    said += (
        f"Difference: {main}, to {record['reference']!r}, paired by seed (same initial backbone, order and views), with Student's 95 % interval.{few}"
    )
    return said + (f" {record['remark']}" if record["remark"] else "")


def write(record: Record, out: Path) -> list[Path]:
    """Write a study's table as Markdown and CSV, and its record into results.json beside those of other studies; return where."""
    markdown, values, results = out / f"{record['study']}.md", out / f"{record['study']}.csv", out / RESULTS
    write_whole(markdown, _markdown(record).encode())
    buffer = io.StringIO()
    csv.writer(buffer).writerows(_values(record))
    write_whole(values, buffer.getvalue().encode())
    kept = records(results) | {record["study"]: record}
    write_whole(results, (json.dumps({"form": FORM, "studies": kept}, indent=1, ensure_ascii=False) + "\n").encode())
    return [markdown, values, results]


def _grid(record: Record) -> list[list[str]]:
    head = ["row", "changes", *_names(record), "difference", "std", "monitor", "paper", "findings"]
    return [head, *(_random(record) if any(record["random"].values()) else []), *(_cells(row, record) for row in record["rows"])]


def _random(record: Record) -> list[list[str]]:
    return [[RANDOM, "", *(spread(record["random"][name]) for name in _names(record)), "", "", "", published(record["untrained"]), ""]]


def _names(record: Record) -> list[str]:
    return [figure["name"] for figure in record["figures"]]


def _cells(row: Record, record: Record) -> list[str]:
    std = mean(row["std"])
    return [
        row["name"],
        changed(row),
        *(spread(row["values"][name]) for name in _names(record)),
        _difference(row["difference"]),
        "" if std is None else f"{std:.2f}",
        ", ".join(sorted(set(row["states"]))) or "not done",
        published(row["published"]),
        "; ".join(f"{v['finding']}: {v['outcome']}" for v in row["verdicts"]),
    ]


def changed(row: Record) -> str:
    """Return what a row changes, and where it is judged."""
    method = [row["method"]] if row["method"] else []
    head = f"after {row['head']} layer{'s' if row['head'] > 1 else ''} of the projector" if row["head"] else ""
    values = ", ".join([*(f"{path}={text}" for path, text in row["changes"].items()), *([head] if head else [])])
    return "; ".join([*method, *([values] if values else [])])


def _difference(found: dict[str, Any] | None) -> str:
    if found is None:
        return ""
    ends = f" ({found['interval'][0]:+.1f} to {found['interval'][1]:+.1f})" if found["interval"] else ""
    return f"{found['points']:+.1f}{ends}"


def _markdown(record: Record) -> str:
    head, *body = _grid(record)
    lines = [f"# {record['study']}: {record['question']}", "", f"{record['source']}. Here: {record['about']}; images: {record['images']}.", ""]
    lines += ["| " + " | ".join(_escaped(cells)) + " |" for cells in (head, ["---"] * len(head), *body)]
    lines += ["", *textwrap.wrap(reading(record), 150), "", "Verdicts:", "", *(f"- {line}" for line in verdicts(record))]
    if record["correlations"]:
        lines += ["", "Label-free scores and accuracy:", "", "| score | of | rank correlation | runs |", "| --- | --- | --- | --- |"]
        lines += [f"| {c['score']} | {c['of']} | {c['rho']:+.2f} | {c['runs']} |" for c in record["correlations"]]
    lines += ["", *_made(record["made"]), "", "```", record["command"], "```", "", "which types:", "", "```", *record["commands"], "```"]
    return "\n".join(lines) + "\n"


def _made(made: Record) -> list[str]:
    if not made:
        return ["Not begun."]
    versions = ", ".join(f"{name} {version}" for name, version in made["versions"].items() if version)
    return textwrap.wrap(f"Begun {made['date'][:10]}, {versions}, Python {made['python']}, {made['platform']}, {made['cores']} cores.", 150)


def _escaped(cells: Sequence[str]) -> list[str]:
    return [cell.replace("|", "\\|") for cell in cells]


def _values(record: Record) -> list[list[object]]:
    """Return a line a row and seed, every number as it stands in the files."""
    head = ["row", "changes", "seed", *_names(record), "monitor", "std", "paper", "run"]
    lines: list[list[object]] = [list(head)]
    for row in record["rows"]:
        for i, (seed, state) in enumerate(zip(row["at_seeds"], row["states"], strict=True)):
            told = [row["values"][name][i] for name in _names(record)]
            lines.append([row["name"], changed(row), seed, *told, state, row["std"][i], published(row["published"]), row["runs"][seed]])
    return lines
