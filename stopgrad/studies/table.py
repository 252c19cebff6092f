"""The table of a study as a record: what results.json holds, and all that the page, the Markdown and the CSV are made of."""

import json
import shlex
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace

from stopgrad.accuracies import least_difference
from stopgrad.report.columns import TRAINED
from stopgrad.report.records import Record
from stopgrad.runs import RunDirectory
from stopgrad.studies.correlated import correlations
from stopgrad.studies.judging import RANDOM, Figure
from stopgrad.studies.measured import Measured, measured
from stopgrad.studies.paired import Difference, difference
from stopgrad.studies.resolve import Asked, Planned
from stopgrad.studies.study import Study
from stopgrad.studies.verdicts import verdict


def tabulate(study: Study, rows: Mapping[str, Planned], asked: Asked) -> Record:
    """Return all that is known of a study's rows so far; every number is of the runs' files."""
    reference = rows[study.reference]
    figures = [figure for judging in reference.jobs[0].judged for figure in judging.figures]
    found = {name: measured(row.jobs, row.head) for name, row in rows.items()}
    began = [one for one in measured(reference.jobs) if one.random]
    random = {one.seed: {name: told.value for name, told in one.random.items()} for one in began}
    compared = found | {RANDOM: [replace(one, state="healthy", told=one.random) for one in began]}
    of_all = all(_alike(row, reference) for row in rows.values())
    seen = [one.told[f.name] for each in found.values() for one in each for f in figures if f.data == figures[0].data and f.name in one.told]
    return {
        "study": study.name,
        "question": study.question,
        "source": study.source,
        "remark": study.remark,
        "scale": asked.scale,
        "about": asked.about(study),
        "images": asked.images,
        "expected": (study.images if asked.scale == "paper" else "") or asked.size.expected,
        "figures": [{"name": figure.name, "data": figure.data, "protocol": figure.protocol, "metric": figure.metric} for figure in figures],
        "seeds": asked.seeds,
        "reference": study.reference,
        "noise": max((least_difference(told.interval) for told in seen if told.interval is not None), default=0.0) or None,
        "test_images": max((told.test_images or 0 for told in seen), default=0) or None,
        "random": {figure.name: [values[figure.name] for values in random.values() if figure.name in values and of_all] for figure in figures},
        "untrained": _published(study.untrained, figures),
        "rows": [_row(name, row, compared, study, random, figures, alike=_alike(row, reference)) for name, row in rows.items()],
        "correlations": correlations(found, figures[0].name) if study.scores else [],
        "grid": _grid(study, rows),
        "curves": study.curves,
        "made": _made(reference, asked),
        "command": asked.command(study.name),
        "commands": [
            shlex.join(("stopgrad", *words))
            for row in rows.values()
            for job in row.jobs
            for words in replace(job, scores=study.scores).all_commands()
        ],
    }


def _row(
    name: str,
    row: Planned,
    found: Mapping[str, list[Measured]],
    study: Study,
    random: dict[int, dict[str, float]],
    figures: Sequence[Figure],
    alike: bool,
) -> Record:
    own, main, seeds = found[name], figures[0].name, len(row.jobs)
    apart = difference(own, found[study.reference], main) if name != study.reference and alike else None
    verdicts = [verdict(finding, own, found.get(finding.other, []), random, main, seeds) for finding in row.row.findings]
    return {
        "name": name,
        "recipe": row.recipe,
        "method": row.run.method.name,
        "before": dict(row.before),
        "changes": dict(row.changes),
        "head": row.head,
        "published": _published(row.row.published, figures),
        "runs": [f"{job.out.parent.name}/{job.out.name}" for job in row.jobs],
        "at_seeds": [one.seed for one in own],
        "states": [one.state for one in own],
        "values": {figure.name: [one.figures.get(figure.name) for one in own] for figure in figures},
        "std": [one.std for one in own],
        "difference": _difference(apart),
        "verdicts": [{"finding": v.finding, "outcome": v.outcome, "said": v.said, "difference": _difference(v.difference)} for v in verdicts],
    }


def _alike(row: Planned, reference: Planned) -> bool:
    """Return whether the first figure of ``row`` is the same task as the reference's, judged in the same way if the backbone is frozen in it."""
    own, other = (one.jobs[0].judged[0] for one in (row, reference))
    same = replace(own.figures[0], name="") == replace(other.figures[0], name="")
    return same and (own.settings == other.settings or own.figures[0].protocol in TRAINED)


def _difference(found: Difference | None) -> Record | None:
    return None if found is None else asdict(found) | {"interval": found.interval}


def _published(numbers: float | Mapping[str, float] | None, figures: Sequence[Figure]) -> list[float | None]:
    """Return the paper's number of every figure; None where it has none."""
    by_name = numbers if isinstance(numbers, Mapping) else {} if numbers is None else {figures[0].name: numbers}
    return [by_name.get(figure.name) for figure in figures]


def _grid(study: Study, rows: Mapping[str, Planned]) -> Record | None:
    """Return where each row stands on the map of its study: by what it has of two fields, the first of several values; or by its name."""
    if study.each_with_each:
        named = {name: name.split(" + ") for name in rows}
        return {"fields": ["one", "other"], "mirrored": True, "at": {name: [parts[0], parts[-1]] for name, parts in named.items()}}
    if study.grid is None:
        return None
    return {"fields": list(study.grid), "at": {name: [_leaf(row, field) for field in study.grid] for name, row in rows.items()}}


def _leaf(row: Planned, field: str) -> float:
    run = row.run
    return run.views[0].scale[0] if field == "views.scale" else run.optim.lr


def _made(reference: Planned, asked: Asked) -> Record:
    """Return when, with what and on what the reference row's first run was made; empty before it was."""
    file = RunDirectory(reference.jobs[0].out).environment
    told: Record = json.loads(file.read_text()) if file.exists() else {}
    return {key: told[key] for key in ("date", "versions", "python", "platform", "cores", "commit") if key in told}


def mean(values: Sequence[float | None]) -> float | None:
    """Return the mean of the values that there are, None of nothing."""
    there = [value for value in values if value is not None]
    return statistics.fmean(there) if there else None
