"""Configuration and environment, field by field, the runs beside each other."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from stopgrad.config import Run, to_json
from stopgrad.report.files import RunFiles
from stopgrad.report.wording import plain

ABSENT = "–"


@dataclass(frozen=True)
class Field:
    """One field: a value a run, and whether they differ."""

    name: str
    values: tuple[str, ...]
    """"–" of a run that has no such field."""
    differs: bool

    def told(self, names: Sequence[str]) -> list[tuple[str, str]]:
        """Return every value once, with the runs that have it: for more runs than columns have room."""
        holders: dict[str, list[str]] = {}
        for value, name in zip(self.values, names, strict=True):
            if value != ABSENT:
                holders.setdefault(value, []).append(name)
        return [(value, ", ".join(who)) for value, who in holders.items()]


@dataclass(frozen=True)
class Group:
    """The fields of one part of the configuration."""

    title: str
    fields: tuple[Field, ...]


@dataclass(frozen=True)
class Settings:
    """What the runs share, each value once; and, of several runs, what differs, a value a run."""

    shared: tuple[Group, ...]
    differing: tuple[Group, ...]


def settings(runs: Sequence[RunFiles]) -> Settings:
    """Return every field of the runs' configurations and environments, grouped as they are."""
    groups = [*configuration(runs), *environment(runs)]
    shared = [Group(g.title, tuple(f for f in g.fields if not f.differs)) for g in groups]
    differing = [Group(g.title, tuple(f for f in g.fields if f.differs)) for g in groups]
    return Settings(tuple(g for g in shared if g.fields), tuple(g for g in differing if g.fields))


def configuration(runs: Sequence[RunFiles]) -> list[Group]:
    """Return every field of the runs' configurations, grouped as they are; views that are alike in every run are given once."""
    alike = all(view == run.config.views[0] for run in runs for view in run.config.views)
    trees = [_tree(run.config, alike) for run in runs]
    titles = list(dict.fromkeys(title for tree in trees for title in tree))
    return [Group(title, _compare([tree.get(title, {}) for tree in trees])) for title in titles]


def environment(runs: Sequence[RunFiles]) -> list[Group]:
    """Return versions, machine and fingerprint of the runs (the commands stand elsewhere), in no group when no run tells."""
    known = [{k: _date(v) if k == "date" else v for k, v in run.environment.items() if k != "command"} for run in runs]
    return [Group("environment", _compare(known))] if any(known) else []


def _date(value: Any) -> Any:
    """Return the date as written by ``runs``, shorter; anything else as it is."""
    return f"{value[:10]} {value[11:16]} UTC" if isinstance(value, str) and value.endswith("+00:00") else value


def _tree(run: Run, alike: bool) -> dict[str, dict[str, Any]]:
    record = to_json(run)
    views = record.pop("views")
    named = {"views, all alike": views[0]} if alike else {f"view {i + 1}": view for i, view in enumerate(views)}
    general = {key: record.pop(key) for key in ("recipe", "schema")}
    return {"run": general, "data": record.pop("data"), **named, **record}


def _compare(trees: Sequence[dict[str, Any]]) -> tuple[Field, ...]:
    flat = [_leaves(tree) for tree in trees]
    names = list(dict.fromkeys(name for leaves in flat for name in leaves))
    rows = [(name, tuple(leaves.get(name, ABSENT) for leaves in flat)) for name in names]
    return tuple(Field(name, values, len(set(values)) > 1) for name, values in rows)


def _leaves(tree: dict[str, Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            found |= {f"{name}.{inner}": text for inner, text in _leaves(value).items()}
        else:
            found[name] = plain(value)
    return found
