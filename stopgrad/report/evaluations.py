"""The lines of evaluations.jsonl as typed values."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from stopgrad.report.columns import Column

BASELINES = {"pixels": "Raw pixels", "random": "Random initialisation"}
"""What a backbone is compared with, in the order of the tables."""
BESIDE = {"box_ap": ("box_ap50", "box_ap75"), "mask_ap": ("mask_ap50", "mask_ap75")}
"""Detection: the averages that are figures of their own, and what is told beside each."""


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """How a protocol chose its penalty: on training images held out for it, never on the test images."""

    tried: tuple[tuple[float, float], ...]
    """(l2, accuracy on the held-out images, 0..1)."""
    chosen: float
    images: int
    """Held-out images; 0 where that is not told."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """A figure of a line of evaluations.jsonl, 0..1; detection has one a kind of region."""

    column: Column
    features: str
    """backbone, random (the same network, untrained), pixels, or a place within the head."""
    value: float
    """What ``column.metric`` names."""
    beside: tuple[tuple[str, float], ...] = ()
    """(metric, value) of lesser figures of the same judging: top5, or top1 where ``value`` is another; AP50 and AP75."""
    interval: tuple[float, float] | None
    """The ends of the 95 % interval of ``value``, where they are given."""
    step: int | None
    train_images: int | None
    test_images: int | None
    images_sha256: str | None
    """The fingerprint of the images that it was measured on, where it is given."""
    weights_sha256: str | None
    stated: dict[str, Any]
    """What else decides the number: the sizes of both sets, classes, settings but those of the sweep."""
    sweep: Sweep | None
    notes: tuple[str, ...]
    """What a reader must know of the number."""

    @property
    def own(self) -> bool:
        """Whether it is of the folder's own backbone, or of a student and its teacher; of no baseline and no other backbone beside it."""
        return self.features in ("backbone", "student", "teacher") or self.features.startswith("head ")

    @property
    def asked(self) -> dict[str, Any]:
        """What of ``stated`` was asked for, and not chosen by the protocol itself: it must agree where two results are compared."""
        chosen = FOUND | tuned(self.stated.get("tuned_on"))
        if self.stated.get("listed") is None:  # else which images: a list of one's own is asked for
            chosen |= {"labelled_sha256"}
        return {key: value for key, value in self.stated.items() if key not in chosen}

    @property
    def figures(self) -> dict[str, float]:
        """Every figure by its metric."""
        return {self.column.metric: self.value, **dict(self.beside)}


FOUND = {"l2", "tried", "held_out_accuracy", "held_out_images", "teacher_top1", "agreement", "loss"}
"""Settings of a line that are found, not asked for."""


def tuned(words: Any) -> set[str]:
    """Return the settings that ``settings.tuned_on`` says were tuned: "lr and weight decay by top1 on …" means two, "C … over …" the costs."""
    said = re.split(r" on | over ", str(words or ""), maxsplit=1)
    if len(said) == 1:
        return set()
    names = {re.sub(r" by .*", "", name.strip()).replace(" ", "_") for name in re.split(r",|\band\b|×", said[0])} - {""}
    found = {"costs" if name == "C" else name for name in names}
    return found | {"steps"} if "epochs" in found else found


def untold(one: Evaluation, other: Evaluation) -> set[str]:
    """Return the settings in which two results may differ because one of them does not tell what it tuned, as older ones do not."""
    words = [e.stated.get("tuned_on") for e in (one, other)]
    return {"tuned_on"}.union(*map(tuned, words)) if None in words else set()


def parse(record: dict[str, Any]) -> list[Evaluation]:
    """Return the figures of one line. Raises KeyError, ValueError, TypeError or AttributeError where it is none."""
    sizes: dict[str, Any] = {key: record[key] for key in ("train_images", "test_images", "classes") if key in record}
    settings = dict(record.get("settings") or {})
    sweep = _sweep(settings)
    if isinstance(cells := settings.get("tried"), dict | list):
        settings["tried"] = f"of {len(cells)} tried" if cells else None
    if isinstance(tried := settings.get("held_out_accuracy"), dict):  # of another sweep; what it chose stands under its own name
        settings["held_out_accuracy"] = f"of {len(tried)} tried"
    metric = str(record.get("metric") or "top1")
    column = Column(str(record.get("data") or ""), str(record["protocol"]), str(record.get("variant") or ""), metric)
    lesser = ("top5",) if metric == "top1" else ("top1", "top5")
    interval = record.get("interval")
    found = Evaluation(
        column=column,
        features=str(record["features"]),
        value=_share(record, "top1" if metric == "top1" and "value" not in record else "value"),
        beside=tuple((name, float(record[name])) for name in lesser if record.get(name) is not None),
        interval=None if interval is None else (float(interval[0]), float(interval[1])),
        step=record.get("step"),
        train_images=sizes.get("train_images"),
        test_images=sizes.get("test_images"),
        images_sha256=record.get("images_sha256"),
        weights_sha256=record.get("weights_sha256"),
        stated=sizes | settings,
        sweep=sweep,
        notes=tuple(str(note) for note in record.get("notes") or ()),
    )
    return _by_region(found, record["scores"]) if record.get("scores") else [found]


def told_apart(folders: Sequence[Sequence[Evaluation]]) -> list[list[Evaluation]]:
    """Return the figures of every folder; where in one of them a data set's name means several sets of images, columns say which is meant.

    Figures of one folder are never of one column when their images are known to differ. What stands under one name in different folders does,
    and is compared with a remark.
    """
    several = {name for figures in folders for name in _ambiguous(figures)}
    return [[_naming_images(e) if _name(e) in several and e.images_sha256 else e for e in figures] for figures in folders]


def _ambiguous(figures: Sequence[Evaluation]) -> set[tuple[str, bool]]:
    """Return the names of data sets that mean several sets of images."""
    found: dict[tuple[str, bool], set[str]] = {}
    for e in figures:
        if e.column.data and e.images_sha256:
            found.setdefault(_name(e), set()).add(e.images_sha256)
    return {name for name, digests in found.items() if len(digests) > 1}


def _name(figure: Evaluation) -> tuple[str, bool]:
    """Return what images are named by: detection's fingerprint is of its boxes too, and never that of the other protocols."""
    return figure.column.data, figure.column.protocol == "detection"


def _naming_images(figure: Evaluation) -> Evaluation:
    return replace(figure, column=replace(figure.column, images=(figure.images_sha256 or "")[:8]))


def _share(record: dict[str, Any], field: str) -> float:
    value = float(record[field])
    if not 0 <= value <= 1:
        raise ValueError(f"{field} {value:g} is not within 0..1")
    return value


def _by_region(found: Evaluation, scores: dict[str, Any]) -> list[Evaluation]:
    """Return a figure a kind of region, with its AP50 and AP75 beside it; scores of other names are figures of their own. Null is none."""
    held = {name: _share(scores, name) for name, score in scores.items() if score is not None}
    lesser = {name for head, names in BESIDE.items() if head in held for name in names}
    return [
        replace(
            found,
            column=replace(found.column, metric=head),
            value=value,
            beside=tuple((name, held[name]) for name in BESIDE.get(head, ()) if name in held),
            interval=None,
        )
        for head, value in held.items()
        if head not in lesser
    ]


def _sweep(settings: dict[str, Any]) -> Sweep | None:
    """Take what tells of the sweep out of ``settings``; None when there was none."""
    if not settings.get("held_out_accuracy") or "l2" not in settings:
        return None
    tried = sorted((float(l2), float(accuracy)) for l2, accuracy in settings.pop("held_out_accuracy").items())
    if not all(l2 > 0 and math.isfinite(l2 + accuracy) for l2, accuracy in tried):
        raise ValueError("a penalty that is not above 0, or an accuracy that is no number")
    return Sweep(tried=tuple(tried), chosen=float(settings.pop("l2")), images=int(settings.pop("held_out_images", 0)))
