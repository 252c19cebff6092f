"""The files of a run directory as typed values. Everything the page says comes from here; nothing is pushed to the report."""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from stopgrad.config import RESNETS, Run
from stopgrad.errors import UserError
from stopgrad.runs import RunDirectory, read_lines

T = TypeVar("T")

ABOUT = "what.json"
"""What says, beside the evaluations of what is no run, whose they are."""


@dataclass(frozen=True, kw_only=True)
class Status:
    """status.json: how far the run came and what the monitor says of it."""

    state: str
    """running, finished, interrupted, collapsed (stopped for it) or failed."""
    step: int
    steps: int
    seconds: float
    used: int
    """Images it trains on."""
    bad: int
    """Images set aside."""
    verdict: str
    """healthy, collapsed, diverged, or whatever else the monitor calls it."""
    since_step: int | None
    text: str
    """What is to be said of it; empty while healthy."""
    chosen: tuple[str, ...]
    """What was decided from the images, a line each."""


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
    """A line of evaluations.jsonl. Accuracies 0..1."""

    protocol: str
    features: str
    """backbone, random (the same network, untrained) or pixels."""
    top1: float
    top5: float | None
    interval: tuple[float, float] | None
    """The ends of the 95 % interval of top1, where they are given."""
    step: int | None
    train_images: int | None
    test_images: int | None
    images_sha256: str | None
    """The fingerprint of the images that it was measured on, where it is given."""
    stated: dict[str, Any]
    """What else decides the number: the sizes of both sets, classes, settings but those of the sweep."""
    sweep: Sweep | None
    notes: tuple[str, ...]
    """What a reader must know of the number."""


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A folder with evaluations, read: that of a run, or of what no run here has trained."""

    this: ClassVar[str] = "this backbone"
    """What it is called where it is alone on a page."""

    directory: Path
    name: str
    """Unique among those of a page."""
    evaluations: tuple[Evaluation, ...]
    """The latest of every pair of protocol and features."""
    colour: int = 0
    """Its colour on the page."""
    about: dict[str, Any] = field(default_factory=dict)
    """what.json; empty for a run."""

    @property
    def step(self) -> int:
        """The last step known of."""
        return 0

    @property
    def first_weights(self) -> tuple[Any, ...]:
        """What decides the weights at random initialisation and the images that they are judged on; equal for those that began alike."""
        return (self.directory,)

    def evaluation(self, protocol: str, features: str) -> Evaluation | None:
        """Return the latest result of ``protocol`` on ``features``, None when there is none."""
        return next((e for e in self.evaluations if (e.protocol, e.features) == (protocol, features)), None)


@dataclass(frozen=True, kw_only=True)
class RunFiles(Judged):
    """One run directory, read."""

    this: ClassVar[str] = "this run"

    config: Run
    environment: dict[str, Any]
    """Empty when there is no environment.json."""
    status: Status | None
    """None before the first status.json."""
    bad_images: tuple[tuple[str, str], ...]
    """(name, reason) of every image set aside."""
    metrics: tuple[dict[str, Any], ...]
    """Records by rising step."""
    embeddings: Path | None

    def series(self, field: str) -> tuple[list[int], list[float]]:
        """Return (steps, values) of the records that hold ``field``; null and what is not finite become NaN."""
        held = [(r["step"], r[field]) for r in self.metrics if field in r]
        return [step for step, _ in held], [math.nan if value is None else float(value) for _, value in held]

    def last(self, field: str) -> float | None:
        """Return the last value of ``field`` in metrics.jsonl, None when it was never recorded."""
        _, values = self.series(field)
        return values[-1] if values else None

    @property
    def step(self) -> int:
        """The last step known of; status.json is not kept up while the run goes on."""
        recorded = int(self.metrics[-1]["step"]) if self.metrics else 0
        return max(recorded, self.status.step if self.status else 0)

    @property
    def collapsed_since(self) -> int | None:
        """The step since which the run is collapsed, None when it is not."""
        return self.status.since_step if self.status is not None and self.status.verdict == "collapsed" else None

    @property
    def test_images(self) -> int | None:
        """How many images of the run's own source it is judged on and never trained on; None where no result tells."""
        known = self.status
        own = () if known is None else (known.used, known.used + known.bad)
        return next((e.test_images for e in self.evaluations if e.train_images in own and e.test_images), None)

    @property
    def first_weights(self) -> tuple[Any, ...]:
        """See ``Judged``."""
        net, data = self.config.net, self.config.data
        size = None if net.backbone in RESNETS else self.config.views[0].size
        return replace(net, init=None), data.channels, size, self.config.train.seed, self.environment.get("images_sha256") or data.source


def read_judged(directory: Path, name: str) -> Judged:
    """Return the evaluations in ``directory`` of what is no run. Raises UserError, naming the file, when one is damaged."""
    about = _object(directory / ABOUT, dict) or {}
    return Judged(directory=directory, name=name, evaluations=_evaluations(directory / "evaluations.jsonl"), about=about)


def _evaluations(path: Path) -> tuple[Evaluation, ...]:
    return tuple({(e.protocol, e.features): e for e in _records(path, _evaluation)}.values())


def read_run(directory: Path, name: str) -> RunFiles:
    """Return the files of ``directory``. Raises UserError, naming the file, when there is no run or a file is damaged."""
    files = RunDirectory(directory)
    config = files.read_config()
    records = {r["step"]: r for r in _records(files.metrics, lambda r: r | {"step": int(r["step"])})}
    return RunFiles(
        directory=directory,
        name=name,
        config=config,
        environment=_object(files.environment, dict) or {},
        status=_object(files.status_file, _status),
        bad_images=tuple(_records(files.bad_images, lambda r: (str(r["name"]), str(r["reason"])))),
        metrics=tuple(records[step] for step in sorted(records)),
        evaluations=_evaluations(files.evaluations),
        embeddings=files.embeddings if files.embeddings.exists() else None,
    )


def _status(record: dict[str, Any]) -> Status:
    verdict = record.get("verdict") or {}
    images = record.get("images") or {}
    return Status(
        state=str(record["state"]),
        step=int(record.get("step", 0)),
        steps=int(record.get("steps", 0)),
        seconds=float(record.get("seconds", 0)),
        used=int(images.get("used", 0)),
        bad=int(images.get("bad", 0)),
        verdict=str(verdict.get("state", "healthy")),
        since_step=verdict.get("since_step"),
        text=str(verdict.get("text") or ""),
        chosen=tuple(str(line) for line in record.get("chosen") or ()),
    )


def _evaluation(record: dict[str, Any]) -> Evaluation:
    sizes: dict[str, Any] = {key: record[key] for key in ("train_images", "test_images", "classes") if key in record}
    settings = dict(record.get("settings") or {})
    sweep = _sweep(settings)
    top5, interval = record.get("top5"), record.get("interval")
    return Evaluation(
        protocol=str(record["protocol"]),
        features=str(record["features"]),
        top1=float(record["top1"]),
        top5=None if top5 is None else float(top5),
        interval=None if interval is None else (float(interval[0]), float(interval[1])),
        step=record.get("step"),
        train_images=sizes.get("train_images"),
        test_images=sizes.get("test_images"),
        images_sha256=record.get("images_sha256"),
        stated=sizes | settings,
        sweep=sweep,
        notes=tuple(str(note) for note in record.get("notes") or ()),
    )


def _sweep(settings: dict[str, Any]) -> Sweep | None:
    """Take what tells of the sweep out of ``settings``; None when there was none."""
    if not settings.get("held_out_accuracy") or "l2" not in settings:
        return None
    tried = sorted((float(l2), float(accuracy)) for l2, accuracy in settings.pop("held_out_accuracy").items())
    if not all(l2 > 0 and math.isfinite(l2 + accuracy) for l2, accuracy in tried):
        raise ValueError("a penalty that is not above 0, or an accuracy that is no number")
    return Sweep(tried=tuple(tried), chosen=float(settings.pop("l2")), images=int(settings.pop("held_out_images", 0)))


def _object(path: Path, make: Callable[[dict[str, Any]], T]) -> T | None:
    if not path.exists():
        return None
    return _checked(path, lambda: [make(json.loads(path.read_bytes()))])[0]


def _records(path: Path, make: Callable[[dict[str, Any]], T]) -> list[T]:
    return _checked(path, lambda: [make(record) for record in read_lines(path)])


def _checked(path: Path, read: Callable[[], list[T]]) -> list[T]:
    try:
        return read()
    except KeyError as field:
        raise UserError(f"{path}: a record has no field {field}; the file is damaged or not of this version, move it away") from None
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: {error}; the file is damaged, move it away") from None
