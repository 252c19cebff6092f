"""Configuration and environment, field by field, the runs beside each other."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from stopgrad.config import Run, to_json
from stopgrad.report.files import RunFiles
from stopgrad.report.wording import plain


@dataclass(frozen=True)
class Field:
    """One field: a value a run, and whether they differ."""

    name: str
    values: tuple[str, ...]
    differs: bool


@dataclass(frozen=True)
class Group:
    """The fields of one part of the configuration."""

    title: str
    fields: tuple[Field, ...]


def configuration(runs: Sequence[RunFiles]) -> list[Group]:
    """Return every field of the runs' configurations, grouped as they are; views that are alike are given once."""
    trees = [_without_repeats(run.config) for run in runs]
    titles = list(dict.fromkeys(title for tree in trees for title in tree))
    return [Group(title, _compare([tree.get(title, {}) for tree in trees])) for title in titles]


def environment(runs: Sequence[RunFiles]) -> Group | None:
    """Return versions, machine and fingerprint of the runs (the commands stand elsewhere); None when no run tells."""
    known = [{k: v for k, v in run.environment.items() if k != "command"} for run in runs]
    return Group("environment", _compare(known)) if any(known) else None


def _without_repeats(run: Run) -> dict[str, dict[str, Any]]:
    record = to_json(run)
    views = record.pop("views")
    alike = all(view == views[0] for view in views)
    named = {"views, all alike": views[0]} if alike else {f"view {i + 1}": view for i, view in enumerate(views)}
    general = {key: record.pop(key) for key in ("recipe", "schema")}
    return {"run": general, "data": record.pop("data"), **named, **record}


def _compare(trees: Sequence[dict[str, Any]]) -> tuple[Field, ...]:
    flat = [_leaves(tree) for tree in trees]
    names = list(dict.fromkeys(name for leaves in flat for name in leaves))
    rows = [(name, tuple(leaves.get(name, "–") for leaves in flat)) for name in names]
    return tuple(Field(name, values, len(set(values)) > 1) for name, values in rows)


def _leaves(tree: dict[str, Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            found |= {f"{name}.{inner}": text for inner, text in _leaves(value).items()}
        else:
            found[name] = plain(value)
    return found
