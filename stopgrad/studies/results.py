"""A study's record as a terminal, Markdown and CSV show it, and where it is kept."""

import csv
import io
import json
import textwrap
from collections.abc import Sequence
from pathlib import Path

from stopgrad.files import write_whole
from stopgrad.progress import table
from stopgrad.report.records import FORM, RESULTS, Record, records
from stopgrad.report.study import BETTER, changed, correlation, difference, published, reading
from stopgrad.report.wording import mean_and_std
from stopgrad.studies.judging import RANDOM
from stopgrad.studies.table import mean


def as_text(record: Record) -> list[str]:
    """Return the question, the table and the verdicts for a terminal."""
    head, *body = (cells[:-1] for cells in _grid(record))  # findings are told below
    lines = [
        record["question"],
        f"{record['source']}; here: {record['about']}",
        "",
        *table(head, body),
        "",
        *textwrap.wrap(reading(record, _names(record)[0]), 150),
    ]
    return lines + [""] + verdicts(record) + [f"{c['score']}: rank correlation {correlation(c)}" for c in record["correlations"]]


def verdicts(record: Record) -> list[str]:
    """Return one line a finding."""
    return [f"{row['name']}: {v['finding']}: {v['outcome']} ({v['said']})" for row in record["rows"] for v in row["verdicts"]]


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
    return [[RANDOM, "", *(mean_and_std(record["random"][name]) for name in _names(record)), "", "", "", published(record["untrained"]), ""]]


def _names(record: Record) -> list[str]:
    return [figure["name"] for figure in record["figures"]]


def _cells(row: Record, record: Record) -> list[str]:
    std = mean(row["std"])
    return [
        row["name"],
        changed(row, record),
        *(mean_and_std(row["values"][name]) for name in _names(record)),
        difference(row["difference"]),
        "" if std is None else f"{std:.2f}",
        ", ".join(sorted(set(row["states"]))) or "not done",
        published(row["published"]),
        "; ".join(f"{v['finding']}: {v['outcome']}" for v in row["verdicts"]),
    ]


def _markdown(record: Record) -> str:
    head, *body = _grid(record)
    lines = [f"# {record['study']}: {record['question']}", "", f"{record['source']}. Here: {record['about']}; images: {record['images']}.", ""]
    lines += ["| " + " | ".join(_escaped(cells)) + " |" for cells in (head, ["---"] * len(head), *body)]
    lines += ["", *textwrap.wrap(reading(record, _names(record)[0]), 150), "", "Verdicts:", "", *(f"- {line}" for line in verdicts(record))]
    if record["correlations"]:
        lines += ["", "Label-free scores and accuracy:", "", "| score | of | better | rank correlation, 95 % interval |", "| --- | --- | --- | --- |"]
        lines += [f"| {c['score']} | {c['of']} | {BETTER[c['expected']]} | {correlation(c)} |" for c in record["correlations"]]
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
            lines.append([row["name"], changed(row, record), seed, *told, state, row["std"][i], published(row["published"]), row["runs"][seed]])
    return lines
