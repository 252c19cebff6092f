"""The table of a study as a record: what results.json holds, and all that the page, the Markdown and the CSV are made of."""

import json
import shlex
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from stopgrad.compare.results import mean_and_std
from stopgrad.runs import RunDirectory
from stopgrad.studies.measured import MONITORED, Measured, measured
from stopgrad.studies.resolve import Asked, Planned
from stopgrad.studies.statistics import spearman
from stopgrad.studies.study import Study
from stopgrad.studies.verdicts import difference, verdict

Record = dict[str, Any]


def tabulate(study: Study, rows: Mapping[str, Planned], asked: Asked) -> Record:
    """Return all that is known of a study's rows so far; every number is of the runs' files."""
    main, found = asked.size.protocols[0], {name: measured(row.jobs, row.row.head) for name, row in rows.items()}
    reference = rows[study.reference]
    random = {one.seed: one.random for one in measured(reference.jobs) if one.random}
    judged = [one for each in found.values() for one in each if one.top1]
    return {
        "study": study.name,
        "question": study.question,
        "source": study.source,
        "remark": study.remark,
        "scale": asked.scale,
        "about": asked.size.about if asked.own is None else f"recipe {asked.own}",
        "images": asked.images,
        "expected": (study.images if asked.scale == "paper" else "") or asked.size.expected,
        "protocols": list(asked.size.protocols),
        "seeds": asked.seeds,
        "reference": study.reference,
        "noise": max((one.noise for one in judged), default=None),
        "test_images": max((one.test_images for one in judged), default=None),
        "random": {p: [began[p] for began in random.values() if p in began] for p in asked.size.protocols},
        "rows": [_row(name, row, found, study, random, main) for name, row in rows.items()],
        "correlations": _correlations(judged, main) if study.scores else [],
        "grid": _grid(study, rows),
        "curves": study.curves,
        "made": _made(reference, asked),
        "command": asked.command(study.name),
        "commands": [shlex.join(("stopgrad", *words)) for row in rows.values() for job in row.jobs for words in job.all_commands()],
    }


def _row(name: str, row: Planned, found: Mapping[str, list[Measured]], study: Study, random: dict[int, dict[str, float]], main: str) -> Record:
    own = found[name]
    apart = difference(own, found[study.reference], main) if name != study.reference else None
    verdicts = [verdict(finding, own, found.get(finding.other, []), random, main) for finding in row.row.findings]
    return {
        "name": name,
        "recipe": row.recipe,
        "method": row.method if row.row.base is not None else None,
        "before": dict(row.before),
        "changes": dict(row.changes),
        "head": row.row.head,
        "published": row.row.published,
        "runs": [f"{job.out.parent.name}/{job.out.name}" for job in row.jobs],
        "at_seeds": [one.seed for one in own],
        "states": [one.state for one in own],
        "top1": {p: [one.top1.get(p) for one in own] for p in row.jobs[0].protocols},
        "std": [one.std for one in own],
        "difference": None if apart is None else {"points": apart.points, "interval": apart.interval, "seeds": apart.seeds},
        "verdicts": [{"finding": v.finding, "outcome": v.outcome, "said": v.said} for v in verdicts],
    }


def _correlations(judged: Sequence[Measured], main: str) -> list[Record]:
    """Return, the strongest first, the rank correlation of every label-free score with the accuracy over all runs that have both."""
    names = dict.fromkeys(name for one in judged for name in one.label_free)
    found = []
    for name in names:
        pairs = [(one.label_free[name], one.top1[main]) for one in judged if name in one.label_free]
        rho = spearman([a for a, _ in pairs], [b for _, b in pairs])
        if rho is not None:
            found.append({"score": name, "of": "a batch of outputs" if name in MONITORED else "features", "rho": rho, "runs": len(pairs)})
    return sorted(found, key=lambda record: -abs(record["rho"]))


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


def spread(values: Sequence[float | None]) -> str:
    """Return accuracies as per cent, mean ± standard deviation of those that there are; a dash for none."""
    return mean_and_std([value for value in values if value is not None]) or "–"


def mean(values: Sequence[float | None]) -> float | None:
    """Return the mean of the values that there are, None of nothing."""
    there = [value for value in values if value is not None]
    return statistics.fmean(there) if there else None
