"""What a table of runs is about: the folders named, which of their figures count, and which folders are one row."""

import json
import re
import shlex
from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stopgrad.config import Data, Run, Train, differences, to_json
from stopgrad.errors import UserError
from stopgrad.report.columns import Column
from stopgrad.report.evaluations import BASELINES, Evaluation, told_apart
from stopgrad.report.files import WHAT, What, read_environment, read_evaluations, read_status, read_what
from stopgrad.report.wording import plain
from stopgrad.runs import RunDirectory

MOST_NAMED = 3
"""Settings, or folders, that a row is named by at most."""

ENDINGS = r"(?<=.)(\.(pth|pt|tar|ckpt|bin|safetensors|pkl))+$"
"""Of files that hold a backbone."""
OF_FOLDERS = ("backbone.safetensors", "model.safetensors")
"""Files that are called alike in every run, and in every folder exported for timm."""


@dataclass(frozen=True)
class Note:
    """What a reader must know of what counts: a line without its stop."""

    text: str
    column: Column | None = None
    """What it is said of; None: of all."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A run, or another backbone, with the figures that count."""

    directory: Path
    of: Run | What
    images: str
    """What is known of the images that it was trained on: their fingerprint, else their place."""
    figures: tuple[Evaluation, ...]
    """Of every column, kind of features and seed of the protocol the last of the last step."""
    notes: tuple[Note, ...]

    @property
    def name(self) -> str:
        """The folder's."""
        return self.directory.resolve().name

    @property
    def kind(self) -> Hashable:
        """What it shares with the runs that differ from it in nothing but the seed."""
        if isinstance(self.of, Run):
            return _kind(self.of, self.images)
        seeded = "seed" in self.of.settings
        return self.of.name, _canonical({k: v for k, v in self.of.settings.items() if k != "seed"}), "" if seeded else self.of.digest


def gather(paths: Sequence[Path]) -> list[Subject]:
    """Return what was judged in ``paths``: run directories, folders with results alone, and folders of either.

    Raises UserError where there is neither, a file is damaged, or nothing was judged at all.
    """
    folders = list({folder.resolve(): folder for path in paths for folder in _folders(path)}.values())
    judged = told_apart([read_evaluations(folder) for folder in folders])
    subjects = [_subject(folder, figures) for folder, figures in zip(folders, judged, strict=True)]
    if any(subject.figures for subject in subjects):
        return subjects
    left = [note.text for subject in subjects for note in subject.notes]
    raise UserError(f"table: {left[0]}" if left else f"table: name a run, or a folder of runs; none in {', '.join(map(str, paths))}")


def _folders(path: Path) -> list[Path]:
    """Return ``path``, or the folders in it that hold results."""
    if not path.is_dir():
        raise UserError(f"{path}: no such folder; name run directories, or a folder of them")
    if _holds(path):
        return [path]
    found = sorted((folder for folder in path.iterdir() if folder.is_dir() and _holds(folder)), key=_natural)
    if not found:
        raise UserError(f"{path}: no run here, nor a folder of one (config.json or evaluations.jsonl is missing)")
    return found


def _holds(folder: Path) -> bool:
    files = RunDirectory(folder)
    return files.exists() or files.evaluations.exists() or (folder / WHAT).exists()


def _natural(path: Path) -> list[tuple[bool, int, str]]:
    parts = re.split(r"(\d+)", path.name)
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]


def _subject(folder: Path, figures: Sequence[Evaluation]) -> Subject:
    files = RunDirectory(folder)
    judge = f"stopgrad evaluate {shlex.quote(str(folder))}"
    if not files.exists():
        found, notes = _counting(figures, None, folder.name, judge)
        return Subject(directory=folder, of=read_what(folder), images="", figures=found, notes=notes)
    run, status = files.read_config(), read_status(folder)
    found, notes = _counting(figures, status.step if status else _last_step(figures), folder.name, judge)
    if not figures:
        state = status.state if status else "not begun"
        why = f"not judged yet; {judge}" if files.backbone.exists() else f"not trained to its end ({state}), and not judged"
        notes = (Note(f"{folder}: {why}"),)
    elif status is not None and status.verdict != "healthy":
        notes = (*notes, Note(f"{folder.name}: {status.verdict}"))
    images = str(read_environment(folder).get("images_sha256") or run.data.source)
    return Subject(directory=folder, of=run, images=images, figures=found, notes=notes)


def _last_step(figures: Iterable[Evaluation]) -> int | None:
    return max((e.step for e in figures if e.step is not None and e.own), default=None)


def _counting(figures: Sequence[Evaluation], last: int | None, name: str, judge: str) -> tuple[tuple[Evaluation, ...], tuple[Note, ...]]:
    """Return the figures that count, and what is said of those that do not: ``last`` is the step that alone does (None: all do)."""
    held: dict[Hashable, list[Evaluation]] = {}
    early: dict[Hashable, Evaluation] = {}
    for e in figures:
        if last is None or not e.own or e.step in (None, last):
            held.setdefault((e.column, e.features, plain(e.stated.get("seed"))), []).append(e)
        else:
            early[e.column, e.features] = e
    there = {(e.column, e.features) for key in held.values() for e in key}
    notes = [
        Note(f"{name}: {e.column.judging.full_title} was judged at step {e.step:,}, the run is at step {last:,}: left out; {judge}", e.column)
        for key, e in early.items()
        if key not in there
    ]
    for again in held.values():
        if len({e.value for e in again}) > 1:
            column, whose = again[-1].column, _whose(again[-1])
            notes.append(Note(f"{name}: {column.judging.full_title} of {whose} was judged {len(again)} times; the last counts", column))
    return tuple(again[-1] for again in held.values()), tuple(dict.fromkeys(notes))


def _whose(figure: Evaluation) -> str:
    return "the backbone" if figure.features == "backbone" else BASELINES.get(figure.features, figure.features).lower()


def _kind(run: Run, images: str) -> str:
    """Return what the runs of a row share; a run to start from counts without its seed, where it is still there, else by its place."""
    init = run.net.init
    if init is not None:
        place = Path(init)
        origin = RunDirectory(place if place.is_dir() else place.parent)
        init = _kind(origin.read_config(), "") if origin.exists() else init
    return _canonical(to_json(replace(_seedless(run, images), net=replace(run.net, init=init))))


def _seedless(run: Run, images: str) -> Run:
    """Return ``run`` without its seed, and without what only says where images lie, how it is computed and what is written down."""
    usual = Train(epochs=run.train.epochs, batch=run.train.batch)
    train = replace(
        run.train,
        seed=usual.seed,
        threads=usual.threads,
        recompute=usual.recompute,
        log_every=usual.log_every,
        monitor_every=usual.monitor_every,
        checkpoint_seconds=usual.checkpoint_seconds,
        keep=usual.keep,
        milestone_every=usual.milestone_every,
    )
    return replace(run, train=train, data=replace(run.data, source=images, workers=Data.workers, residence=Data.residence))


def _canonical(tree: Any) -> str:
    return json.dumps(tree, sort_keys=True)


def labels(kinds: Sequence[Sequence[Subject]]) -> list[str]:
    """Return a name for every kind of subjects: the method, or what it was asked for as, and what tells it from others of that name."""
    names = [_first_name(kind[0]) for kind in kinds]
    twice = {name for name, times in Counter(names).items() if times > 1}
    found = list(names)
    for name in twice:
        where = [i for i, other in enumerate(names) if other == name]
        for i, words in zip(where, _told_apart([kinds[i] for i in where]), strict=True):
            found[i] = f"{name}, {words}"
    return found


def called(words: Sequence[str], taken: Collection[str]) -> list[str]:
    """Return a short name for every other backbone that was asked for by ``words``; all its words where the name is another's, or ``taken``."""
    short = [_short(text) for text in words]
    found = [text if short.count(name) > 1 or name in taken else name for text, name in zip(words, short, strict=True)]
    return [f"{name}, beside" if name in taken else name for name in found]


def _short(words: str) -> str:
    """Return the last part of a path, or of a network's name, without the endings of files; of a file that all runs have the folder's."""
    parts = [part for part in re.split(r"[/\\]", words) if part not in ("", ".")]
    if len(parts) > 1 and parts[-1] in OF_FOLDERS:
        return parts[-2]
    return re.sub(ENDINGS, "", parts[-1]) if parts else words


def _first_name(subject: Subject) -> str:
    return subject.of.method.name if isinstance(subject.of, Run) else subject.of.name


def _told_apart(kinds: Sequence[Sequence[Subject]]) -> list[str]:
    """Return words that tell ``kinds`` of one name apart: the recipe, else the few settings that differ, else the folders."""
    runs = [(kind[0].of, kind[0].images) for kind in kinds if isinstance(kind[0].of, Run)]
    if len(runs) == len(kinds):
        for words in ([f"recipe {run.recipe}" for run, _ in runs], _settings(runs)):
            if len(set(words)) == len(kinds):
                return words
    return [", ".join([s.name for s in kind[:MOST_NAMED]] + ["…"] * (len(kind) > MOST_NAMED)) for kind in kinds]


def _settings(runs: Sequence[tuple[Run, str]]) -> list[str]:
    """Return the fields in which the runs differ, in words; nothing where they are too many to name."""
    first, *_ = seedless = [_seedless(run, images) for run, images in runs]
    changes = [differences(first, other) for other in seedless]
    usual = {path: value for change in changes for path, (value, _) in change.items()}
    found = []
    for (run, _), change in zip(runs, changes, strict=True):
        values = {path: change[path][1] if path in change else value for path, value in usual.items()}
        if "data.source" in values:  # known by its fingerprint until here
            values["data.source"] = run.data.source
        told = {re.sub(r"^views\.\d+\.", "views.", path): plain(value) for path, value in values.items()}
        found.append(", ".join(f"{path} {value}" for path, value in told.items()) if len(told) <= MOST_NAMED else "")
    return found
