"""Judging: a backbone beside raw pixels and its own random initialisation, on the labelled images of a source."""

import hashlib
import json
import math
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from stopgrad.config import Data, Net, Run
from stopgrad.config.named import as_asked
from stopgrad.config.protocols import Knn
from stopgrad.config.tuning import Finetune, Semi
from stopgrad.errors import UserError
from stopgrad.images.bad import Bad, listed
from stopgrad.images.opened import refuse_unjudgeable
from stopgrad.images.pool import Pool, load
from stopgrad.images.source import Source, Splits
from stopgrad.images.threads import in_threads
from stopgrad.loader import Resident, Supply, open_supply
from stopgrad.nets.backbones import Backbone
from stopgrad.nets.classifier import Reading
from stopgrad.nets.files import digest
from stopgrad.protocols.cache import FeatureCache
from stopgrad.protocols.features import Labelled, Preparation
from stopgrad.protocols.finetune import Keep
from stopgrad.protocols.judge import Judgement, Settings, Subject, judge

Kind = Literal["pixels", "random", "backbone"]
Record = Mapping[str, Any]
"""A line of evaluations.jsonl."""

PROBE_BANK, PROBE_QUERIES = 5000, 1000
"""Images that the monitor's kNN compares, at most: enough to see it rise, cheap enough to look often."""


@dataclass(frozen=True)
class Folder:
    """Where judging keeps what it would have to compute again."""

    path: Path
    """The run, or the folder of the evaluations of what is no run."""
    net: Net | None
    """How to build the backbone; None for a module of the user's own."""

    @property
    def features(self) -> Path:
        """Frozen features; may be removed at any time."""
        return self.path / "features"

    @property
    def tuning(self) -> Path:
        """Checkpoints of fine-tuning; gone when its line is written."""
        return self.path / "tuning"


@dataclass(frozen=True, eq=False)
class Parts:
    """The labelled training and test images of a source, ready to be judged on."""

    train: Labelled
    test: Labelled
    classes: int
    prep: Preparation
    notes: tuple[str, ...]
    """What a reader of a number on them should know."""


def parts(splits: Splits, data: Data, device: torch.device, tell: Callable[[str], None]) -> Parts:
    """Open both parts of ``splits``. Raises UserError where there are no labels, or no test images."""
    refuse_unjudgeable(splits)
    train, test = splits
    assert train.classes is not None
    assert test is not None
    lenient = replace(data, max_bad=1.0)  # training has decided how many may be bad; here they are named
    supplies = [open_supply(part, lenient, device, tell, naming(tell))[0] for part in (train, test)]
    notes = [
        f"{missing} of the {len(part)} {name} images cannot be read, and are left out"
        for name, part, supply in zip(("training", "test"), (train, test), supplies, strict=True)
        if (missing := len(part) - len(supply.keep))
    ]
    images = [labelled(supply, part, data) for supply, part in zip(supplies, (train, test), strict=True)]
    return Parts(images[0], images[1], len(train.classes), preparation(data, supplies[0]), tuple(notes))


def images_digest(splits: Splits) -> str:
    """Return a hex digest of what the images of both parts are."""
    return hashlib.sha256("".join(part.fingerprint() for part in splits if part is not None).encode()).hexdigest()


def preparation(data: Data, supply: Supply) -> Preparation:
    """Return how images of ``supply`` are prepared for the backbone, by their median shorter side."""
    return Preparation.usual(data.size, supply.short_side, data.mean, data.std)


def naming(tell: Callable[[str], None]) -> Callable[[tuple[Bad, ...]], None]:
    """Return what names the images set aside to ``tell``."""
    return lambda bad: tell(f"set aside: {listed(bad)}") if bad else None


def labelled(supply: Supply, source: Source, data: Data) -> Labelled:
    """Return the images of ``supply``, which are of ``source``, with their labels. One that cannot be read when it is asked for is a UserError."""
    labels = source.labels if source.presence is None else source.presence
    assert labels is not None

    def fetch(numbers: Iterable[Tensor]) -> Iterator[tuple[Pool, Tensor]]:
        for batch in supply.fetch(numbers):
            if batch.bad:  # its neighbour stands in its place, under the wrong label
                raise UserError(f"{source.name}: {batch.bad[0][0]} cannot be read ({batch.bad[0][1]}); judging needs every image, remove it")
            yield batch.pool, batch.rows

    names, content = source.names, cache(lambda: _content(supply, source, data))
    return Labelled(fetch, torch.from_numpy(labels[supply.keep]), identify=content, name=lambda i: names.exact(int(supply.keep[i])))


def _content(supply: Supply, source: Source, data: Data) -> str:
    """Return a hex digest of the images of ``supply``: of their pixels, or where they are streamed of their files and how these are read."""
    sha = hashlib.sha256(repr((data.channels, data.short_side)).encode())
    if isinstance(supply, Resident):
        for row in range(len(supply)):
            image = supply.pool.image(row)
            sha.update(repr((image.shape, image.dtype)).encode())
            sha.update(image.contiguous().view(torch.uint8).cpu().numpy().data)
    else:
        for one in in_threads(lambda i: source.digest(int(i)), supply.keep):
            sha.update(one)
    return sha.hexdigest()


def evaluations(
    data: Data,
    kinds: Mapping[Kind, nn.Module],
    splits: Splits,
    settings: Iterable[Settings],
    step: int,
    device: torch.device,
    tell: Callable[[str], None],
    folder: Folder | None = None,
    begun: Sequence[Record] = (),
) -> Iterator[dict[str, Any]]:
    """Yield a line of evaluations.jsonl for every kind of features and every protocol; features are computed once a kind, or read from ``folder``.

    ``data`` says how images are read: channels, size, mean and std above all. Raw pixels cannot be fine-tuned, and are left out there;
    a fine-tuning whose line is among those ``begun`` is not done again.
    """
    images = parts(splits, data, device, tell)
    same = images_digest(splits)
    fitted = [(s, *fitting(s, len(images.train))) for s in settings]
    kept = None if folder is None else FeatureCache(folder.features, tell=tell)
    for kind, featuriser in kinds.items():
        weights = digest(featuriser) if isinstance(featuriser, Backbone) else None
        subject = Subject(
            featuriser=featuriser.to(device),
            train=images.train,
            test=images.test,
            classes=images.classes,
            prep=images.prep,
            device=device,
            name=kind,
            cache=kept,
        )
        for asked, one, notes in fitted:
            subject = replace(subject, notes=(*images.notes, *notes))
            about: dict[str, Any] = {"features": kind, "weights_sha256": weights, "step": step if kind == "backbone" else 0, "images_sha256": same}
            if isinstance(one, Finetune):
                if weights is not None:
                    yield from _tuned(one, subject, about, data, splits, folder, begun, tell)
                continue
            yield about | {"asked": as_asked(asked)} | dated(judge(one, subject, tell))


def dated(judgement: Judgement) -> dict[str, Any]:
    """Return the line of ``judgement``, with the time."""
    return judgement.record() | {"date": datetime.now(UTC).isoformat(timespec="seconds")}


def _tuned(
    settings: Finetune,
    subject: Subject,
    about: Record,
    data: Data,
    splits: Splits,
    folder: Folder | None,
    begun: Sequence[Record],
    tell: Callable[[str], None],
) -> Iterator[dict[str, Any]]:
    """Yield the line of one fine-tuning: that of ``begun`` where it is there, else a new one, which goes on where a kill has left it."""
    asked = asked_digest(settings, about)
    there = [record for record in begun if record.get("asked_sha256") == asked]
    if there:
        tell(f"{subject.name}: {settings.protocol} ({settings.name}) judged already")
        yield {**there[-1], "asked": as_asked(settings)}
        return
    with tuning(settings, subject, asked, data, splits, folder) as kept:
        yield dict(about) | {"asked": as_asked(settings), "asked_sha256": asked} | dated(judge(settings, kept, tell)) | where(kept)


def asked_digest(settings: Settings, about: Mapping[str, Any]) -> str:
    """Return a hex digest of what is asked for: ``settings``, of a list of labels its content too, and what it is ``about``."""
    listed = settings.listed if isinstance(settings, Semi) else None
    try:
        names = "" if listed is None else hashlib.sha256(Path(listed).read_bytes()).hexdigest()
    except OSError as error:
        raise UserError(f"{listed}: the list of labelled images cannot be read ({error.strerror}); name another (listed=FILE)") from None
    return hashlib.sha256(json.dumps([settings.protocol, asdict(settings), names, dict(about)], sort_keys=True).encode()).hexdigest()


@contextmanager
def tuning(settings: Settings, subject: Subject, asked: str, data: Data, splits: Splits, folder: Folder | None) -> Iterator[Subject]:
    """Give fine-tuning a place for what a kill would lose, which is removed once the line is written, and one for the network; else nothing.

    ``data``: how the images of ``splits`` are read, which the network's file says.
    """
    if folder is None or not isinstance(settings, Finetune):
        yield subject
        return
    name = re.sub(r"[^\w.-]+", "-", f"{settings.protocol}-{settings.name}-{subject.name}-{asked[:8]}")
    keep = Keep(
        classifier=folder.path / f"{name}.safetensors",
        subset=folder.path / f"{name}-labels.txt",
        net=folder.net,
        classes=tuple(splits.train.classes or ()),
        extra={"settings": settings.name},
        reading=Reading(short_side=data.short_side, max_pixels=data.max_pixels),
    )
    work = folder.tuning / asked[:16]
    yield replace(subject, work=work, keep=keep)
    shutil.rmtree(work, ignore_errors=True)


def where(subject: Subject) -> dict[str, str]:
    """Return what a line says of where a fine-tuned network is kept."""
    return {} if subject.keep is None else {"classifier": subject.keep.classifier.name}


def fitting(settings: Settings, images: int) -> tuple[Settings, tuple[str, ...]]:
    """Return kNN with a k that few training images allow, a fifth of them at most, and what a reader should know of that."""
    most = max(1, images // 5)
    if not isinstance(settings, Knn) or settings.k <= most:
        return settings, ()
    return replace(settings, k=most), (f"knn: k is {most} instead of {settings.k}, a fifth of the {images} training images",)


def knn_probe(run: Run, splits: Splits, device: torch.device) -> Callable[[nn.Module], dict[str, float]] | None:
    """Return what the monitor calls to judge a backbone by kNN on held-out images; None without labels."""
    train, test = splits
    if train.labels is None or train.classes is None or test is None or test.labels is None:
        return None
    classes = len(train.classes)
    bank, queries = (_sample(part, run.data, most, device) for part, most in ((train, PROBE_BANK), (test, PROBE_QUERIES)))
    prep = preparation(run.data, bank[1])
    settings, _ = fitting(Knn(), len(bank[0]))

    def probe(backbone: nn.Module) -> dict[str, float]:
        subject = Subject(featuriser=backbone, train=bank[0], test=queries[0], classes=classes, prep=prep, device=device)
        return {"knn": judge(settings, subject).score.value}

    return probe


def _sample(source: Source, data: Data, most: int, device: torch.device) -> tuple[Labelled, Supply]:

    chosen = np.unique(np.linspace(0, len(source) - 1, min(most, len(source))).round().astype(np.int64))
    enough = math.ceil(data.size * 256 / 224)  # what the central crop needs: photographs are not kept whole for a probe
    small = replace(data, short_side=min(enough, data.short_side or enough)) if data.size >= 64 else data
    loaded = load(source, small, keep=chosen)
    supply = Resident(loaded.pool, loaded.rows, device)
    return labelled(supply, source, small), supply
