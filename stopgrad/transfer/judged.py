"""Judging backbones on several data sets, one after the other; what has been judged already is read, not computed again."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from stopgrad.config import Data
from stopgrad.config.named import as_asked
from stopgrad.config.transfer import DataSet, Metric
from stopgrad.config.tuning import Finetune
from stopgrad.errors import UserError
from stopgrad.images.bad import refuse_several
from stopgrad.images.opened import open_images, refuse_unjudgeable
from stopgrad.images.source import Splits
from stopgrad.images.sources import LabelRule
from stopgrad.judging import Folder, Parts, asked_digest, dated, fitting, images_digest, parts, tuning, where
from stopgrad.nets.backbones import Backbone
from stopgrad.nets.files import digest
from stopgrad.protocols.cache import FeatureCache
from stopgrad.protocols.judge import Settings, Subject, for_several, judge
from stopgrad.protocols.metrics import metric_of
from stopgrad.protocols.objective import refuse_smoothing
from stopgrad.runs import append_line, read_lines
from stopgrad.what import What


@dataclass(frozen=True, eq=False)
class Candidate:
    """Something that is judged: a row of the table."""

    featuriser: nn.Module
    """(N, C, H, W) → (N, F)."""
    data: Data
    """How its images are read and prepared: channels, size, mean, std, short_side; the source is not looked at."""
    step: int = 0
    """Of its training, where that is known."""


def candidates(what: What) -> dict[str, Candidate]:
    """Return raw pixels, the same network at random initialisation, and the backbone that ``what`` is."""
    found = {kind: Candidate(what.kinds[kind], what.data) for kind in ("pixels", "random")}
    if "backbone" in what.kinds:
        found[f"head {what.head}" if what.head else "backbone"] = Candidate(what.kinds["backbone"], what.data, what.step)
    return found


def transfer(
    candidates: Mapping[str, Candidate],
    sets: Sequence[DataSet],
    settings: Settings,
    records: Path,
    device: torch.device,
    tell: Callable[[str], None],
    folder: Folder | None = None,
    labels: LabelRule = "auto",
) -> list[dict[str, Any]]:
    """Judge every one of ``candidates`` (name → what) on every one of ``sets`` by one protocol; return a record each, by data set.

    A record is a line of evaluations.jsonl with ``data``, the name of the data set; each is appended to the file ``records`` when it is there,
    and one that is there already, of the same weights, images and settings, is returned as it is. ``folder`` keeps features, and what a kill of a
    fine-tuning would lose. Where a data set has no test part a tenth of its training images is held out as one. Raises UserError, with the name
    of the data set, before anything is computed where one cannot be opened, has no labels,
    or not the kind that the protocol or the metric is for.
    """
    there = [(one, *opened(one, settings, labels)) for one in sets]
    found = []
    for one, splits, metric in there:
        begun = [record for record in read_lines(records) if "asked_sha256" in record]
        for record in _on(one, splits, metric, candidates, settings, begun, device, tell, folder):
            if record not in begun:
                append_line(records, record)
            found.append(record)
    return found


def opened(one: DataSet, settings: Settings, labels: LabelRule = "auto") -> tuple[Splits, Metric]:
    """Return the images of ``one`` and its metric. Raises UserError, with its name, where it cannot be judged on by ``settings``."""
    try:
        splits = open_images(one.path, labels)
        refuse_unjudgeable(splits)
        several = splits.train.presence is not None
        if not for_several(settings):
            refuse_several(splits, settings.protocol)
        if several and isinstance(settings, Finetune):
            refuse_smoothing(f"{settings.protocol} ({settings.name})", settings)
        return splits, metric_of(one.metric, several, settings.protocol)
    except UserError as error:
        raise UserError(f"{one.name}: {error}") from None


def _on(
    one: DataSet,
    splits: Splits,
    metric: Metric,
    candidates: Mapping[str, Candidate],
    settings: Settings,
    begun: Sequence[dict[str, Any]],
    device: torch.device,
    tell: Callable[[str], None],
    folder: Folder | None,
) -> Iterator[dict[str, Any]]:
    """Yield the records of one data set. Its images are opened once for all candidates that read them alike, and not before one is needed."""
    images, ready = images_digest(splits), dict[Data, Parts]()
    for name, candidate in candidates.items():
        data = replace(candidate.data, source="", labels="auto")
        weights = digest(candidate.featuriser) if isinstance(candidate.featuriser, Backbone) else None
        about: dict[str, Any] = {"features": name, "data": one.name, "weights_sha256": weights, "step": candidate.step, "images_sha256": images}
        # By their place too: images of other folders may have the same names and sizes.
        place = os.path.realpath(one.path)
        asked = asked_digest(settings, about | {"metric": metric, "prepared": asdict(data), "path": place})
        told = {"place": place, "asked": as_asked(settings), "asked_sha256": asked}
        there = [record for record in begun if record.get("asked_sha256") == asked]
        if there:
            tell(f"{one.name}, {name}: judged already ({there[-1]['value']:.1%})")
            yield there[-1] | told
            continue
        if data not in ready:
            ready[data] = parts(splits, data, device, tell)
        subject = _subject(ready[data], candidate.featuriser.to(device), metric, f"{one.name}, {name}", device, tell, folder)
        with tuning(settings, subject, asked, data, splits, folder) as kept:
            fitted, notes = fitting(settings, len(subject.train))
            found = judge(fitted, replace(kept, notes=(*ready[data].notes, *notes)), tell)
            tell(f"{subject.name}: {found.score.metric} {found.score.value:.1%}")
            yield about | told | dated(found) | where(kept)


def _subject(
    images: Parts, featuriser: nn.Module, metric: Metric, name: str, device: torch.device, tell: Callable[[str], None], folder: Folder | None
) -> Subject:
    return Subject(
        featuriser=featuriser,
        train=images.train,
        test=images.test,
        classes=images.classes,
        prep=images.prep,
        device=device,
        name=name,
        metric=metric,
        cache=None if folder is None else FeatureCache(folder.features, tell=tell),
    )
