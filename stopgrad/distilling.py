"""Distilling into a folder: a fine-tuned network's file and images without labels make a student's file, judged where test labels are."""

import hashlib
import json
import math
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from stopgrad.config import RESNETS, Data, Net
from stopgrad.config.tuning import Distill
from stopgrad.errors import UserError
from stopgrad.files import write_whole
from stopgrad.images.source import Splits
from stopgrad.judging import labelled, naming
from stopgrad.keys import seed_of
from stopgrad.loader import Supply, open_supply
from stopgrad.nets.backbones import Backbone, build
from stopgrad.nets.classifier import About, Classifier, Loaded, Reading, classifier_on, load_classifier, save_classifier
from stopgrad.nets.files import digest, load
from stopgrad.protocols.distill import distil
from stopgrad.protocols.features import Batches, Labelled, Preparation, features
from stopgrad.protocols.scores import ranks, score
from stopgrad.protocols.tune import batch_of, refuse, steps_of
from stopgrad.report.wording import plain
from stopgrad.runs import RunDirectory, backbone_file, read_lines, write_lines


@dataclass(frozen=True)
class Student:
    """The files of a distillation's folder."""

    path: Path

    @property
    def classifier(self) -> Path:
        """The student, backbone and classifier."""
        return self.path / "classifier.safetensors"

    @property
    def evaluations(self) -> Path:
        """A line of how well it does, and one of its teacher, where there are labelled test images."""
        return self.path / "evaluations.jsonl"

    @property
    def what(self) -> Path:
        """What it is, and what was asked for: who asks for the same again has it."""
        return self.path / "what.json"

    @property
    def work(self) -> Path:
        """What a kill would lose; gone when all is written."""
        return self.path / "checkpoints"


def distill(
    teacher: Path,
    splits: Splits,
    student: Net | None,
    settings: Distill,
    out: Path,
    device: torch.device,
    tell: Callable[[str], None],
    into: nn.Module | None = None,
) -> list[dict[str, Any]]:
    """Train a student of the network in ``teacher`` (a classifier.safetensors) on the training images of ``splits``, whose labels are not read.

    student: its backbone, from random weights or from ``student.init``; None: the teacher's kind from random weights. The same call again goes on
    where it stands, and where it is done trains nothing. ``into``: a fresh module, for a teacher on a module of the user's own. Returns the lines
    of evaluations.jsonl, of the student and of the teacher on the test images; none without test labels. Raises UserError for what the user can mend.
    """
    if RunDirectory(out).exists():
        raise UserError(f"{out}: a run's folder; choose another --out")
    files, taught, begin = Student(out), _taught(teacher, into), time.perf_counter()
    judged = _judged(teacher, taught, splits)
    reading, notes = _reading(taught)
    data, prep = _data(taught, reading), Preparation(taught.size, taught.share, taught.mean, taught.std)
    net = _net(teacher, taught, student)
    learner = classifier_on(_backbone(net, data, settings.seed), len(taught.classes), settings.init, settings.seed)
    asked = _asked(settings, taught, net, learner, splits)
    if files.classifier.exists() and not files.work.exists():
        _refuse_another(files, asked)
        tell(f"{out}: done already, by the same settings, teacher and images; nothing is trained")
        return read_lines(files.evaluations)
    for note in notes:
        tell(note)
    supply = open_supply(splits.train, data, device, tell, naming(tell))[0]
    refuse(settings, len(supply), device)
    guide, learner = taught.network.to(device), learner.to(device)
    work = files.work / _key(settings, taught, learner, splits)
    loss = distil(guide, learner, _unlabelled(supply), len(supply), prep, settings, work, tell)
    stated = About(net=net, classes=taught.classes, outputs=taught.outputs, extra=_origin(settings, taught), reading=reading, **asdict(prep))
    _keep(files, learner, stated, net.backbone, asked)
    records: list[dict[str, Any]] = []
    if judged and splits.test is not None:
        chosen = {"batch": batch_of(settings, len(supply)), "steps": steps_of(settings, len(supply)), "loss": loss}
        chosen |= asdict(prep) | {"student": net.backbone, "teacher_sha256": taught.sha256}
        test = labelled(open_supply(splits.test, data, device, tell, naming(tell))[0], splits.test, data)
        same = {"train_images": len(supply), "notes": list(notes)}
        records = [same | record | _now(begin) for record in _records(learner, guide, test, prep, settings, chosen)]
        write_lines(files.evaluations, records)
    shutil.rmtree(files.work)
    return records


def _origin(settings: Distill, taught: Loaded) -> dict[str, str]:
    return {"teacher_sha256": taught.sha256, "settings": settings.name}


def _keep(files: Student, learner: Classifier, stated: About, backbone: str, asked: Mapping[str, Any]) -> None:
    """Write the student and what it is of."""
    save_classifier(files.classifier, learner, stated)
    settings = {"student": backbone} | stated.extra
    about = {"name": files.path.resolve().name, "digest": digest(learner.backbone), "settings": settings, "asked": asked}
    write_whole(files.what, (json.dumps(about, indent=2) + "\n").encode())


def _taught(teacher: Path, into: nn.Module | None) -> Loaded:
    """Return the network in ``teacher``. Raises UserError for one that says of several classes whether an image shows them."""
    taught = load_classifier(teacher, into)
    if taught.outputs != "softmax":
        raise UserError(
            f"{teacher}: says of every class by itself whether an image shows it ({taught.outputs}), and a student learns which one of the classes "
            "it is (softmax); give a teacher that was fine-tuned on images of one class each"
        )
    return taught


def _now(begin: float) -> dict[str, Any]:
    return {"seconds": round(time.perf_counter() - begin, 3), "date": datetime.now(UTC).isoformat(timespec="seconds")}


def _asked(settings: Distill, taught: Loaded, net: Net, learner: Classifier, splits: Splits) -> dict[str, Any]:
    """Return what tells this distillation from all others, as JSON has it."""
    student = asdict(replace(net, init=None)) | {"first weights": digest(learner.backbone)}
    images = {"training images": splits.train.fingerprint(), "test images": None if splits.test is None else splits.test.fingerprint()}
    asked: dict[str, Any] = json.loads(json.dumps({"teacher": taught.sha256, "settings": asdict(settings), "student": student} | images))
    return asked


def _refuse_another(files: Student, asked: Mapping[str, Any]) -> None:
    """Raise UserError, which names what differs, unless the student in the folder is of what is ``asked``."""
    try:
        there = json.loads(files.what.read_bytes())["asked"]
        told = [f"{key} {plain(asked[part][key])} instead of {plain(there[part].get(key))}" for part in ("settings", "student")
                for key in asked[part] if key != "first weights" and asked[part][key] != there[part].get(key)]  # fmt: skip
        if not told and asked["student"] != there["student"]:
            told = ["other first weights of the student"]
        told += [f"another teacher ({asked['teacher'][:8]} instead of {there['teacher'][:8]})"] * (asked["teacher"] != there["teacher"])
        told += [f"other {part}" for part in ("training images", "test images") if asked[part] != there[part]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        told = ["what.json does not tell of what"]
    if told:
        raise UserError(f"{files.path}: holds a student already: {', '.join(told)}; choose another --out")


def _records(
    student: Classifier, teacher: Classifier, test: Labelled, prep: Preparation, settings: Distill, chosen: dict[str, Any]
) -> list[dict[str, Any]]:
    """Return the lines of evaluations.jsonl, the student's and the teacher's: accuracies, and how often both agree."""
    logits = [features(one, test, prep, one.fc.weight.device) for one in (student, teacher)]
    found, taught = (score(ranks(said, test.labels), test.labels, said.shape[1]) for said in logits)
    agreement = float((logits[0].argmax(1) == logits[1].argmax(1)).float().mean())
    stated = asdict(settings) | chosen | {"teacher_top1": taught.top1, "agreement": agreement, "tuned_on": "nothing"}
    stated = {key: list(value) if isinstance(value, tuple) else value for key, value in stated.items()}
    # The teacher is the same whatever the student's seed.
    seedless = {key: value for key, value in stated.items() if key not in ("seed", "loss")}
    whose = (("student", student, found, stated), ("teacher", teacher, taught, seedless))
    return [
        {
            "protocol": settings.protocol,
            "variant": settings.name,
            "features": name,
            "weights_sha256": digest(network.backbone),
            "top1": its.top1,
            "top5": its.top5,
            "interval": list(its.interval()),
            "per_class": list(its.per_class),
            "test_images": its.n,
            "classes": network.fc.out_features,
            "settings": says,
        }
        for name, network, its, says in whose
    ]


def _judged(teacher: Path, taught: Loaded, splits: Splits) -> bool:
    """Return whether there are labelled test images. Raises UserError where their classes are not the teacher's."""
    test = splits.test
    if test is None or test.labels is None or test.classes is None:
        return False
    if test.classes != taught.classes:
        of = f"{len(test.classes)} classes ({', '.join(test.classes[:3])}, …)"
        raise UserError(
            f"{splits.train.name}: its test images have {of}, and {teacher} names {len(taught.classes)} ({', '.join(taught.classes[:3])}, …); "
            "distil on images of the teacher's classes, or without labels (--labels none)"
        )
    return True


def _data(taught: Loaded, reading: Reading) -> Data:
    """Return how images are read for the teacher: as when it was judged, where bad images are named and never too many (``judging.parts``)."""
    channels = taught.network.backbone.channels
    return Data(source="", channels=channels, mean=taught.mean, std=taught.std, size=taught.size, max_bad=1.0, **asdict(reading))


def _reading(taught: Loaded) -> tuple[Reading, tuple[str, ...]]:
    """Return how the teacher's file says that images are read, and notes; where it does not, photographs are as large as its crop needs."""
    if taught.reading is not None:
        return taught.reading, ()
    enough = math.ceil(taught.size / taught.share) if taught.share < 1 else None
    note = f"at a shorter side of at most {enough} pixels" if enough is not None else "whole"
    note = f"the teacher's file, of an older stopgrad, does not say how its images were read: here {note}, so that it may be judged otherwise"
    return Reading(short_side=enough, max_pixels=Data.max_pixels), (note,)


def _net(teacher: Path, taught: Loaded, student: Net | None) -> Net:
    if student is not None:
        ours = taught.net is not None and {student.backbone, taught.net.backbone} <= set(RESNETS)
        return replace(student, stem=taught.net.stem) if ours and taught.net is not None else student  # of the teacher's images
    if taught.net is None:
        raise UserError(f"{teacher}: is of a module of your own, which stopgrad cannot build anew; name the student's backbone")
    return taught.net


def _backbone(net: Net, data: Data, seed: int) -> Backbone:
    """Return the student's backbone: random by ``seed``, or with the weights that ``net.init`` names."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of("init", seed))
        backbone = build(net, data.channels, data.size)
    if net.init is not None:
        try:
            backbone.load_state_dict(load(backbone_file(Path(net.init))).backbone.state_dict())
        except RuntimeError:
            raise UserError(f"net.init: the backbone of {net.init} is not a {net.backbone} as the student has it") from None
    return backbone


def _unlabelled(supply: Supply) -> Callable[[Iterable[Tensor]], Batches]:
    return lambda order: ((batch.pool, batch.rows) for batch in supply.fetch(order))


def _key(settings: Distill, taught: Loaded, learner: Classifier, splits: Splits) -> str:
    """Return what tells this training's checkpoints from all others'."""
    about = asdict(settings) | {"teacher": taught.sha256, "student": digest(learner.backbone), "images": splits.train.fingerprint()}
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]
