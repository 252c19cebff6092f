"""What studies are judged on, opened before hours of work: what cannot be judged on is refused, and what was made of other images."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from stopgrad.config.detection import Detection
from stopgrad.config.named import chosen as protocols
from stopgrad.errors import UserError
from stopgrad.runs import RunDirectory
from stopgrad.studies.jobs import Job
from stopgrad.studies.judging import Judging
from stopgrad.studies.resolve import Planned

if TYPE_CHECKING:
    from stopgrad.images.source import Splits

Tables = Mapping[str, Mapping[str, Planned]]
"""Study, row, and what is planned for it."""


def refuse_other_images(jobs: Sequence[Job], splits: "Splits") -> None:
    """Raise UserError where a run was trained on other images than are there now: its figures would stand beside those of others."""
    fingerprint = splits.train.fingerprint()
    for job in jobs:
        directory = RunDirectory(job.out)
        if directory.environment.exists() and directory.began_with() != fingerprint:
            raise UserError(f"{job.out}: was trained on other images than {job.images} holds now; choose another --out, or remove it")


def opened(tables: Tables, splits: "Splits") -> Tables:
    """Return ``tables`` with every judging told which images it is on, and by which metric.

    Raises UserError where a data set of ``--onto`` cannot be judged on, before a backbone is trained for it.
    """
    from stopgrad.judging import images_digest

    known: dict[Judging, Judging] = {}
    own = images_digest(splits)

    def located(judging: Judging) -> Judging:
        alike = replace(judging, seeded=False, seed=None)
        if alike not in known:
            known[alike] = replace(alike, images=own) if judging.onto is None else _opened(alike)
        return replace(known[alike], seeded=judging.seeded, seed=judging.seed)

    def ready(job: Job) -> Job:
        return replace(job, judged=tuple(map(located, job.judged)))

    return {study: {name: replace(row, jobs=tuple(map(ready, row.jobs))) for name, row in rows.items()} for study, rows in tables.items()}


def _opened(judging: Judging) -> Judging:
    """Return ``judging`` with the digest and the metric of the data set that it is on."""
    from stopgrad.detection.annotated import open_annotated
    from stopgrad.judging import images_digest
    from stopgrad.transfer.judged import opened as opened_set

    assert judging.onto is not None
    (settings,) = protocols(judging.protocols, judging.settings or None)
    if isinstance(settings, Detection):
        return replace(judging, images=open_annotated(Path(judging.onto.path), settings).fingerprint())
    splits, metric = opened_set(judging.onto, settings)
    return replace(judging, images=images_digest(splits), figures=tuple(replace(one, metric=one.metric or metric) for one in judging.figures))
