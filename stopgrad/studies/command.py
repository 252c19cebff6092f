"""``stopgrad study``: from what was asked to the tables."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from stopgrad.compare.work import STOPPED, work
from stopgrad.errors import UserError
from stopgrad.images.bad import refuse_several
from stopgrad.report.records import RESULTS, Record, records
from stopgrad.studies.catalogue import STUDIES, Chosen
from stopgrad.studies.foretold import Share, foretold
from stopgrad.studies.jobs import Job, shared
from stopgrad.studies.opened import opened, refuse_other_images
from stopgrad.studies.resolve import Asked, Planned, planned
from stopgrad.studies.results import as_text, write
from stopgrad.studies.study import Study
from stopgrad.studies.table import tabulate

if TYPE_CHECKING:
    from stopgrad.images.source import Splits


def listing() -> list[str]:
    """Return the studies, a line each, and what they ask."""
    width = max(map(len, STUDIES))
    return [f"{name.ljust(width)}  {len(study.rows):3} rows  {study.question} ({study.source})" for name, study in STUDIES.items()]


def gpus(device: str) -> list[str]:
    """Return the GPUs that runs on ``device`` can be spread over, as CUDA_VISIBLE_DEVICES names them; none for the CPU."""
    if device == "cpu":
        return []
    if device.startswith("cuda:"):
        return [device.partition(":")[2]]
    from stopgrad.device import gpu_count

    names = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    return names if names != [""] and len(names) == gpu_count() else list(map(str, range(gpu_count())))


def carry_out(chosen: Chosen, asked: Asked, jobs: int | None, splits: "Splits") -> int:
    """Do what is left of all runs, print the tables and write them. Returns the exit status: that of the first run that failed."""
    refuse_several(splits, "study")
    if splits.train.labels is None or splits.test is None:
        cure = "put every class in a folder of its own, of 10 images or more, or give a list with a label column"
        raise UserError(f"{asked.images}: a study is judged by labels; {cure}. stopgrad pretrain needs none")
    former = records(asked.out / RESULTS)  # before hours of work, not after
    there, cores = gpus(asked.device), os.cpu_count() or 1
    tables = opened({name: planned(study, rows, asked, splits, lambda: bool(there)) for name, (study, rows) in chosen.items()}, splits)
    todo = _runs(chosen, tables)
    refuse_other_images(todo, splits)
    asked.out.mkdir(parents=True, exist_ok=True)
    todo[0].out.parent.mkdir(exist_ok=True)
    at_once = jobs or len(there) or cores
    print(foretold(tables, todo, len(splits.train), Share(at_once, cores, len(there)), asked.device), flush=True)
    failed = work(todo, at_once, cores, print, there if len(there) > 1 else ())
    for name, (study, _) in chosen.items():
        _tell(study, tables[name], asked, former.get(name))
    unjudged = [job.out.name for job in todo if job not in failed and job.commands()]
    if unjudged and STOPPED not in failed.values():
        raise UserError(f"{asked.out}: {', '.join(unjudged)}: ended well, and yet figures are missing; see {todo[0].out.parent}/NAME.log")
    return _ended(failed, len(todo), asked.out)


def _runs(chosen: Chosen, tables: Mapping[str, Mapping[str, Planned]]) -> list[Job]:
    """Return the runs of all studies, each once, seed by seed: after the first seed every table is whole."""
    rows = [(row, study.scores) for name, (study, _) in chosen.items() for row in tables[name].values()]
    seeds = max(len(row.jobs) for row, _ in rows)
    return shared(replace(row.jobs[seed], scores=scores) for seed in range(seeds) for row, scores in rows)


def _tell(study: Study, rows: Mapping[str, Planned], asked: Asked, former: Record | None) -> None:
    record = tabulate(study, rows, asked)
    files = write(record, asked.out)
    print()
    print("\n".join(as_text(record)))
    print(f"written to {', '.join(map(str, files))}")
    if former is not None and former["command"] != record["command"]:
        print(f"in place of the table that this made, whose runs are still there: {former['command']}")


def _ended(failed: Mapping[Job, int], runs: int, out: Path) -> int:
    if not failed:
        print(f"next: stopgrad report {out}")
        return 0
    if STOPPED in failed.values():
        print(f"{out}: stopped; the same command goes on from there")
        return STOPPED
    names = ", ".join(job.out.name for job in failed)
    print(f"{len(failed)} of {runs} runs failed: {names}; see {next(iter(failed)).out.parent}/NAME.log. The same command tries them again")
    return next(iter(failed.values()))
