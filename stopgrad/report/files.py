"""The files of a run directory as typed values. Everything the page says comes from here; nothing is pushed to the report."""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from stopgrad.config import Run
from stopgrad.errors import UserError
from stopgrad.report.columns import Column
from stopgrad.report.evaluations import Evaluation, parse, told_apart
from stopgrad.runs import RunDirectory, read_lines

WHAT = "what.json"

T = TypeVar("T")


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
class What:
    """what.json: a backbone that is no run's."""

    name: str
    """As it was asked for: a file, or torchvision's or timm's name."""
    digest: str
    """Of its weights; empty where it is not told."""
    settings: dict[str, Any]
    """How it was built, such as its channels, or the seed of its random weights."""


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A folder with results. By itself, of a backbone that is no run's: evaluations.jsonl and what.json."""

    directory: Path
    name: str
    """Unique among the folders of a page."""
    evaluations: tuple[Evaluation, ...]
    """The latest of every pair of column and features."""
    colour: int = 0
    """Its colour on the page."""
    what: What | None = None
    """What is judged; None of runs, whose configuration tells."""

    def evaluation(self, column: Column, features: str) -> Evaluation | None:
        """Return the latest result on ``features``, None when there is none."""
        return next((e for e in self.evaluations if (e.column, e.features) == (column, features)), None)


@dataclass(frozen=True, kw_only=True)
class RunFiles(Judged):
    """One run directory, read."""

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
        own_data = (e for e in self.evaluations if not e.column.data)
        return next((e.test_images for e in own_data if e.train_images in own and e.test_images), None)


def read_folder(directory: Path, name: str) -> Judged:
    """Return the run in ``directory`` (``RunFiles``), or what was judged there. Raises UserError when it is neither, or a file is damaged."""
    files = RunDirectory(directory)
    if files.exists() or not (files.evaluations.exists() or (directory / WHAT).exists()):
        return read_run(directory, name)
    return Judged(directory=directory, name=name, evaluations=_latest(directory), what=read_what(directory))


def read_run(directory: Path, name: str) -> RunFiles:
    """Return the files of ``directory``. Raises UserError, naming the file, when there is no run or a file is damaged."""
    files = RunDirectory(directory)
    config = files.read_config()
    records = {r["step"]: r for r in _records(files.metrics, lambda r: r | {"step": int(r["step"])})}
    return RunFiles(
        directory=directory,
        name=name,
        config=config,
        environment=read_environment(directory),
        status=read_status(directory),
        bad_images=tuple(_records(files.bad_images, lambda r: (str(r["name"]), str(r["reason"])))),
        metrics=tuple(records[step] for step in sorted(records)),
        evaluations=_latest(directory),
        embeddings=files.embeddings if files.embeddings.exists() else None,
    )


def read_environment(directory: Path) -> dict[str, Any]:
    """Return environment.json; empty when there is none. Raises UserError when it is damaged."""
    return _object(RunDirectory(directory).environment, dict) or {}


def read_status(directory: Path) -> Status | None:
    """Return status.json; None when there is none. Raises UserError when it is damaged."""
    return _object(RunDirectory(directory).status_file, _status)


def read_what(directory: Path) -> What:
    """Return what.json; without one, the folder's name. Raises UserError when it is damaged."""
    return _object(directory / WHAT, _what) or What(name=directory.resolve().name, digest="", settings={})


def read_evaluations(directory: Path) -> list[Evaluation]:
    """Return every figure of evaluations.jsonl in the order written; none when it is absent. Raises UserError when it is damaged."""
    path = RunDirectory(directory).evaluations
    return [figure for figures in _records(path, parse) for figure in figures]


def _latest(directory: Path) -> tuple[Evaluation, ...]:
    (figures,) = told_apart([read_evaluations(directory)])
    return tuple({(e.column, e.features): e for e in figures}.values())


def _what(record: dict[str, Any]) -> What:
    return What(name=str(record["name"]), digest=str(record.get("digest") or ""), settings=dict(record.get("settings") or {}))


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
