"""Judging: a protocol, a featuriser and labelled images make a record. Nothing is chosen by test images, and only the end of a training counts."""

import base64
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from stopgrad.config.protocols import Knn, Lbfgs, Linear, Operation
from stopgrad.config.transfer import Metric, Svm
from stopgrad.config.tuning import Finetune, Semi
from stopgrad.errors import UserError
from stopgrad.nets.classifier import About, Outputs, save_classifier
from stopgrad.protocols import svm
from stopgrad.protocols.cache import FeatureCache
from stopgrad.protocols.features import Labelled, Preparation, features
from stopgrad.protocols.finetune import Keep, Task, finetune, foreseen, remarks, tuned_on
from stopgrad.protocols.knn import knn
from stopgrad.protocols.lbfgs import choose
from stopgrad.protocols.linear import fitted, misfit, steps_per_epoch, train
from stopgrad.protocols.metrics import by, metric_of, scored
from stopgrad.protocols.operation import FORMS, most_common, seen, told_apart
from stopgrad.protocols.scores import Score
from stopgrad.protocols.semi import few
from stopgrad.protocols.subsets import digest as digest_of_rows
from stopgrad.protocols.subsets import write_list
from stopgrad.protocols.sweep import sweep

Settings = Knn | Lbfgs | Linear | Svm | Operation | Finetune


def for_several(settings: Settings) -> bool:
    """Return whether the protocol is also for images that may show several classes each."""
    return isinstance(settings, Lbfgs | Svm | Finetune) and not isinstance(settings, Semi)


@dataclass(frozen=True, eq=False, kw_only=True)
class Subject:
    """What is judged, and on what. Features of prepared images are computed when first asked for, and shared by the protocols."""

    featuriser: nn.Module
    """(N, C, H, W) → (N, F), on ``device``."""
    train: Labelled
    test: Labelled
    classes: int
    prep: Preparation
    device: torch.device
    name: str = ""
    """Put before every line told, where there is one: several subjects are judged in turn."""
    metric: Metric | None = None
    """By which it is judged, and by which protocols choose; None: top1, or map where images may show several classes."""
    cache: FeatureCache | None = None
    """Where features are kept; None: nowhere."""
    work: Path | None = None
    """Fine-tuning: a folder for what a kill would lose, of these images alone; whoever keeps the record may then delete it. None: nothing is kept."""
    keep: Keep | None = None
    """Fine-tuning: where the network goes."""
    notes: tuple[str, ...] = ()
    """What a reader should know of the images, or of how the settings were fitted to them."""

    @cached_property
    def train_features(self) -> Tensor:
        """(train images, F) float32 on the CPU."""
        return self._features(self.train)

    @cached_property
    def test_features(self) -> Tensor:
        """(test images, F) float32 on the CPU."""
        return self._features(self.test)

    def by(self, protocol: str) -> Metric:
        """Return the metric. Raises UserError, ``protocol`` in front, for one that is none of such images."""
        return metric_of(self.metric, self.train.several, protocol)

    def _features(self, images: Labelled) -> Tensor:
        if self.cache is None:
            return features(self.featuriser, images, self.prep, self.device)
        return self.cache.features(self.featuriser, images, self.prep, self.device)


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What a protocol found, and everything that decided it."""

    protocol: str
    variant: str
    """What sets it apart within its protocol: ``1 %``; mostly nothing."""
    score: Score
    train_images: int
    classes: int
    settings: dict[str, Any]
    """The protocol's settings, what it chose by itself, and how images were prepared."""
    notes: tuple[str, ...]
    """What a reader should know of the number, a line each."""
    seconds: float

    def record(self) -> dict[str, Any]:
        """Return the part of a line of evaluations.jsonl that is known here. ``interval`` is value's 95 % interval, low and high."""
        return {
            "protocol": self.protocol,
            "variant": self.variant,
            "metric": self.score.metric,
            "value": self.score.value,
            "top1": self.score.top1,
            "top5": self.score.top5,
            "interval": list(self.score.interval()),
            "per_class": list(self.score.per_class),
            "right": base64.b64encode(self.score.right).decode(),
            "train_images": self.train_images,
            "test_images": self.score.n,
            "classes": self.classes,
            "settings": self.settings,
            "notes": list(self.notes),
            "seconds": round(self.seconds, 3),
        }


def judge(settings: Settings, subject: Subject, tell: Callable[[str], object] = lambda line: None) -> Judgement:
    """Judge ``subject`` by the protocol that ``settings`` are of; ``tell`` hears how it goes.

    The same subject and settings give the same score on the same device. Raises UserError where the images do not allow the protocol.
    """
    begin = time.perf_counter()
    told = _once(_named(subject.name, tell))
    for part, images in (("training", subject.train), ("test", subject.test)):
        if not len(images):
            raise UserError(f"{settings.protocol}: there are no labelled {part} images")
        _refuse_wrong_labels(settings, subject, part, images)
    subject.by(settings.protocol)
    match settings:
        case Knn():
            found, chosen, notes = _knn(settings, subject)
        case Lbfgs():
            found, chosen, notes = _lbfgs(settings, subject)
        case Linear():
            found, chosen, notes = _linear(settings, subject, told)
        case Svm():
            found, chosen, notes = _svm(settings, subject, told)
        case Operation():
            found, chosen, notes = _operation(settings, subject, told)
        case Finetune():
            found, chosen, notes = _finetune(settings, subject, told)
    notes = [*subject.notes, *notes]
    for note in notes:
        told(note)
    return Judgement(
        protocol=settings.protocol,
        variant=settings.variant if isinstance(settings, Semi) else settings.name if isinstance(settings, Operation) else "",
        score=found,
        train_images=chosen.pop("labelled", len(subject.train)),
        classes=chosen.pop("forms", subject.classes),
        settings=_listed(asdict(settings) | chosen | asdict(subject.prep)),
        notes=tuple(notes),
        seconds=time.perf_counter() - begin,
    )


def _refuse_wrong_labels(settings: Settings, subject: Subject, part: str, images: Labelled) -> None:
    """Raise UserError where labels are not what the protocol, or the number of classes, wants them to be."""
    who, classes = settings.protocol, subject.classes
    if images.several and not for_several(settings):
        raise UserError(f"{who}: needs one class an image, and these may show several; take --protocol svm, lbfgs or finetune")
    if images.several != subject.train.several:
        raise UserError(f"{who}: images of one part have one class each and those of the other may show several; give parts of one kind")
    lowest, highest = int(images.labels.min()), int(images.labels.max())
    if images.several and part == "test" and not (images.labels == 1).any():
        raise UserError(f"{who}: no test image shows a class that counts, and nothing can be measured on them; give others")
    if images.several and images.labels.shape[1] != classes:
        raise UserError(f"{who}: the {part} images are labelled for {images.labels.shape[1]} classes, but there are {classes}")
    if not images.several and (lowest < 0 or highest >= classes):
        raise UserError(f"{who}: the {part} labels go from {lowest} to {highest}, but there are {classes} classes, from 0")


def _named(name: str, tell: Callable[[str], object]) -> Callable[[str], object]:
    return (lambda line: tell(f"{name}: {line}")) if name else tell


def _once(tell: Callable[[str], object]) -> Callable[[str], None]:
    """Return what tells every line once: what is known beforehand is told then, and not again beside the number."""
    told = set[str]()

    def once(line: str) -> None:
        if line not in told:
            told.add(line)
            tell(line)

    return once


Found = tuple[Score, dict[str, Any], list[str]]
"""The score, what was chosen besides the settings, and notes."""


def _knn(settings: Knn, subject: Subject) -> Found:
    on = subject.device
    bank, queries = subject.train_features.to(on), subject.test_features.to(on)
    found = knn(bank, subject.train.labels.to(on), queries, subject.test.labels.to(on), subject.classes, settings)
    return by(found, subject.by("knn"), subject.test.labels), {}, []


def _lbfgs(settings: Lbfgs, subject: Subject) -> Found:
    on, metric = subject.device, subject.by("lbfgs")
    chosen = choose(subject.train_features.to(on), subject.train.labels.to(on), subject.classes, settings, metric)
    found = _score(chosen.logits(subject.test_features.to(on)), subject)
    tried = {f"{l2:g}": round(accuracy, 4) for l2, accuracy in chosen.tried}
    notes = [f"lbfgs: the best l2, {chosen.l2:g}, is at the edge of those tried; a better one may lie beyond"] if chosen.at_edge else []
    tuned = f"l2 by {metric} on {chosen.held_out} training images held out"
    return found, {"l2": chosen.l2, "held_out_images": chosen.held_out, "held_out_accuracy": tried, "tuned_on": tuned}, notes


def _svm(settings: Svm, subject: Subject, tell: Callable[[str], object]) -> Found:
    on, metric = subject.device, subject.by("svm")
    found = svm.train(subject.train_features.to(on), subject.train.labels.to(on), subject.classes, settings, metric, tell)
    votes = found.decisions(subject.test_features.to(on))
    votes = votes if subject.train.several else votes.nan_to_num(nan=torch.finfo(votes.dtype).min)  # a class never seen is never said
    notes = [f"svm: {line}" for line in found.doubts(subject.test.labels)]
    tried = {f"{c:g}": round(value, 4) for c, value in found.tried.items()}
    chosen = {"costs": list(found.costs), "tried": tried, "tuned_on": f"C by {metric} over {settings.folds} folds of the training images"}
    return scored(votes.cpu(), subject.test.labels, subject.classes, metric), chosen, notes


def _linear(settings: Linear, subject: Subject, tell: Callable[[str], object]) -> Found:
    taken = fitted(settings, len(subject.train))
    notes = []
    if taken.batch < settings.batch:
        lowered = f"the batch is {taken.batch} instead of {settings.batch}, and the rate lower with it"
        notes = [f"linear ({settings.name}): {lowered}: there are only {taken.batch} training images"]
    chosen: dict[str, Any] = {}
    if settings.sweep:
        on, metric = subject.device, subject.by("linear")
        swept = sweep(subject.featuriser, subject.train_features, subject.train, subject.classes, subject.prep, settings, metric, on, tell)
        taken = replace(taken, lr=swept.lr)
        tried = {f"{lr:g}": None if value is None else round(value, 4) for lr, value in swept.tried}
        tuned = f"lr by {metric} on {swept.held_out} training images held out"
        chosen = {"lr": swept.lr, "held_out_images": swept.held_out, "held_out_accuracy": tried, "tuned_on": tuned}
        if swept.at_edge:
            notes.append(f"linear ({settings.name}): the best lr, {swept.lr:g}, is at the edge of those tried; a better one may lie beyond")
    queries = subject.test_features.to(subject.device)
    classifier = train(subject.featuriser, queries.shape[1], subject.train, subject.classes, subject.prep, taken, subject.device, tell)
    notes += [f"linear ({settings.name}): {line}" for line in misfit(taken, classifier.loss, subject.classes, queries)]
    steps = taken.epochs * steps_per_epoch(taken, len(subject.train))
    return _score(classifier.logits(queries), subject), {"batch": taken.batch, "steps": steps} | chosen, notes


def _operation(settings: Operation, subject: Subject, tell: Callable[[str], object]) -> Found:
    own, queries = (seen(subject.featuriser, part, subject.prep, settings, i, subject.device) for i, part in enumerate((subject.train, subject.test)))
    classifier = told_apart(own, settings, subject.device, tell)
    forms = FORMS[settings.of]
    found = scored(classifier(queries.features.to(subject.device)).cpu(), queries.forms, forms, "top1")
    return found, {"forms": forms, "chance": most_common(queries.forms, forms), "tuned_on": "nothing"}, []


def _finetune(settings: Finetune, subject: Subject, tell: Callable[[str], object]) -> Found:
    """Judge a copy of the network, tuned on all labelled images or, semi-supervised, on few; and keep it, where that is asked for."""
    images, keep = subject.train, subject.keep
    notes: list[str] = []
    chosen: dict[str, Any] = {}
    if isinstance(settings, Semi):
        images, rows, notes = few(settings, subject.train, subject.classes)
        chosen = {"labelled": len(rows), "labelled_sha256": digest_of_rows(rows)}
        if keep is not None and subject.train.name is not None:
            write_list(keep.subset, subject.train.name, rows)
    task = Task(
        featuriser=subject.featuriser,
        images=images,
        classes=subject.classes,
        prep=subject.prep,
        device=subject.device,
        work=subject.work,
        tell=tell,
        metric=subject.by(settings.protocol),
    )
    notes += foreseen(task, settings)
    for note in notes:
        tell(note)
    tuned = finetune(task, settings)
    taken = asdict(tuned.settings) | {"batch": tuned.batch, "steps": tuned.steps, "head": tuned.network.layers, "tuned_on": tuned_on(tuned)}
    taken |= {field: values[0] if values else None for field in ("lr", "weight_decay", "epochs") for values in (taken[field],)}
    outputs: Outputs = "sigmoid" if images.several else "softmax"
    if keep is not None:
        about = About(net=keep.net, classes=keep.classes, outputs=outputs, extra=keep.extra, reading=keep.reading, **asdict(subject.prep))
        save_classifier(keep.classifier, tuned.network, about)
    found = _score(features(tuned.network, subject.test, subject.prep, subject.device), subject)
    taken |= {"tried": [cell.record(tuned.metric) for cell in tuned.tried]} | ({"outputs": outputs} if images.several else {})
    return found, chosen | taken, notes + remarks(task, tuned)


def _score(logits: Tensor, subject: Subject) -> Score:
    return scored(logits.cpu(), subject.test.labels, subject.classes, subject.by(""))


def _listed(settings: dict[str, Any]) -> dict[str, Any]:
    """Return ``settings`` as JSON holds them."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in settings.items()}
