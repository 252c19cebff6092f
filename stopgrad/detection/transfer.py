"""Detection as a protocol: from each of several starts a detector is trained and tested in the same way. A start that is done is not done again."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from stopgrad import distributed
from stopgrad.config.detection import Detection
from stopgrad.config.named import as_asked
from stopgrad.detection.annotated import Annotated, open_annotated
from stopgrad.detection.examples import Colours
from stopgrad.detection.models import Detector, detector
from stopgrad.detection.score import find, scores_of
from stopgrad.detection.train import precise_bn, train
from stopgrad.errors import UserError
from stopgrad.files import refuse_unwritable, write_whole
from stopgrad.images.decode import quiet_decoders
from stopgrad.keys import seed_of
from stopgrad.nets.backbones import Backbone
from stopgrad.nets.files import digest
from stopgrad.nets.norm import synchronise
from stopgrad.progress import duration
from stopgrad.world import world

Tell = Callable[[str], object]


@dataclass(frozen=True, eq=False)
class Start:
    """What a detector starts from, and how it wants its images (``Header`` of its file)."""

    backbone: Backbone
    mean: tuple[float, ...]
    std: tuple[float, ...]


def detect(
    starts: Mapping[str, Start], data: Path, settings: Detection, out: Path, device: torch.device, tell: Tell = lambda line: None
) -> Iterator[dict[str, Any]]:
    """Train and test a detector from each of ``starts`` (random, backbone, …) on ``data``; yield its line of evaluations.jsonl.

    In several processes (``distributed.together``) each has an equal part of every batch, and the first writes; all get the lines.

    ``out``/KIND takes checkpoints, losses and the result, so that the same call goes on where one ended, at any iteration; on the CPU to the
    same bits. Raises UserError for what the user can mend, before any training where that can be known; Diverged for a loss or gradient that
    is not finite, and Interrupted after a signal, saved.
    """
    if settings.batch % distributed.size():
        raise UserError(f"batch: {distributed.size()} processes do not divide the {settings.batch} images of an iteration; change one of the two")
    annotated = open_annotated(data, settings)
    refuse_unwritable(out)
    for note in annotated.notes:
        tell(note)
    begun = {kind: _begun(out / kind, start, settings, annotated) for kind, start in starts.items()}
    for kind, start in starts.items():
        models = _model(start, settings, len(annotated.train.classes))  # refuses what does not fit before the first is trained
        del models
        assert kind == Path(kind).name, kind
    distributed.wait()  # all have read what was begun before the first writes
    for kind, start in starts.items():
        yield _one(kind, start, annotated, data.name, settings, out / kind, begun[kind], device, tell)


def _one(
    kind: str,
    start: Start,
    annotated: Annotated,
    data: str,
    settings: Detection,
    folder: Path,
    begun: dict[str, Any],
    device: torch.device,
    tell: Tell,
) -> dict[str, Any]:
    """Return the line of one start, from its file where there is one."""
    result = folder / "result.json"
    before: dict[str, Any] | None = distributed.everyones(json.loads(result.read_bytes()) if world().first and result.exists() else None)[0]
    if before is not None:
        return before | {"asked": as_asked(settings)}

    def told(line: str) -> None:
        tell(f"{kind}: {line}")

    began = time.perf_counter()
    if world().first:
        write_whole(folder / "begun.json", json.dumps(begun, indent=2).encode())
    colours = Colours(start.backbone.channels, start.mean, start.std)
    model = _model(start, settings, len(annotated.train.classes))
    synchronise(model, device)
    with quiet_decoders():
        train(model, annotated.train.pictures, settings, colours, folder, device, told)
        precise_bn(model, annotated.train.pictures, settings, colours, device)
        found = find(model, annotated.test, settings, colours, device, told)
    scores: dict[str, float] = distributed.everyones(scores_of(annotated, found, settings.masks) if world().first else None)[0]
    record = _line(kind, annotated, data, settings, begun, scores, time.perf_counter() - began)
    record.update(distributed.everyones(record)[0])  # its seconds and date are the first's
    if world().first:
        write_whole(result, json.dumps(record, indent=2).encode())
    told(f"AP {scores['box_ap']:.1%} after {duration(record['seconds'])}")
    return record


def _line(
    kind: str, annotated: Annotated, data: str, settings: Detection, begun: dict[str, Any], scores: dict[str, float], seconds: float
) -> dict[str, Any]:
    """Return the line of evaluations.jsonl."""
    return {
        "protocol": settings.protocol,
        "variant": settings.variant,
        "features": kind,
        "metric": "ap",
        "value": scores["box_ap"],
        "scores": scores,
        "interval": None,
        "data": data,
        "train_images": len(annotated.train.pictures),
        "test_images": len(annotated.test.pictures),
        "classes": len(annotated.train.classes),
        "images_sha256": begun["images_sha256"],
        "weights_sha256": begun["weights_sha256"],
        "asked": begun["settings"],
        "settings": begun["settings"] | {"mean": begun["mean"], "std": begun["std"], "average": annotated.metric, "tuned_on": "nothing"},
        "notes": list(annotated.notes),
        "seconds": round(seconds, 3),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _model(start: Start, settings: Detection, classes: int) -> Detector:
    """Return a fresh detector; what is new in it is the same for every start of the same shape."""
    torch.manual_seed(seed_of("detection model", settings.seed))
    return detector(start.backbone, classes, settings)


def _begun(folder: Path, start: Start, settings: Detection, annotated: Annotated) -> dict[str, Any]:
    """Return what decides the numbers of a start. Raises UserError when ``folder`` was begun with something else."""
    begun = {
        "settings": asdict(settings),
        "mean": start.mean,
        "std": start.std,
        "weights_sha256": digest(start.backbone),
        "images_sha256": annotated.fingerprint(),
    }
    wanted: dict[str, Any] = json.loads(json.dumps(begun))  # as it is read back: lists for tuples
    path = folder / "begun.json"
    if path.exists():
        before = json.loads(path.read_bytes())
        other = [name for name in wanted if before.get(name) != wanted[name]]
        if other == ["settings"]:
            other = [f"settings.{name}" for name, value in wanted["settings"].items() if before["settings"].get(name) != value]
        if other:
            raise UserError(f"{folder}: was begun with another {', '.join(other)}; choose another --out, or remove it")
    return wanted
