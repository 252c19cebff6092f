"""``stopgrad compare``: from what was asked to the table."""

import os
import shlex
import textwrap
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stopgrad.beforehand import overrides_of
from stopgrad.compare.results import as_text, lines, reading, write
from stopgrad.compare.rows import Row, another, concerning, remember, rows
from stopgrad.compare.work import STOPPED, work
from stopgrad.config import METHODS
from stopgrad.errors import UserError
from stopgrad.files import refuse_unwritable
from stopgrad.images.bad import refuse_several

if TYPE_CHECKING:
    from stopgrad.images.source import Splits

OPTIONS = ("epochs", "batch", "backbone", "labels", "device")
"""Those of pretrain that all rows share."""


def compare(asked: Namespace, splits: "Splits", has_gpu: Callable[[], bool]) -> int:
    """Do what is left of the comparison, print the table and write it. Returns the exit status: that of the first row that failed."""
    out: Path = asked.out
    refuse_several(splits, "compare")
    if splits.train.labels is None or splits.test is None:
        cure = "put every class in a folder of its own, of 10 images or more, or give a list with a label column"
        raise UserError(f"{asked.images}: a comparison is judged by labels; {cure}. stopgrad pretrain needs none")
    methods = _methods(asked)
    remember(out, _wanted(asked))
    todo = _rows(asked, methods, asked.seeds)
    cores = os.cpu_count() or 1
    failed = work(todo, asked.jobs or (1 if has_gpu() else cores), cores, print)
    return _told(todo, failed, splits, out)


def foreseen(asked: Namespace) -> list[Row]:
    """Return a row of every method that will be compared.

    Raises UserError for a setting of a method that there is not, and for an ``--out`` that is no folder or holds another comparison.
    """
    for pair in asked.overrides:
        name, colon, _ = pair.partition("=")[0].partition(":")
        if colon and name not in METHODS:
            raise UserError(f"--set {pair}: no method {name!r}; there are {', '.join(METHODS)}")
    if asked.out.exists() and not asked.out.is_dir():
        raise UserError(f"{asked.out}: a file is in the way; choose another --out")
    if changes := another(asked.out, _wanted(asked)):
        raise UserError(
            f"{asked.out}: holds another comparison ({changes}); choose another --out, or ask for the same (methods and seeds may be added)"
        )
    refuse_unwritable(asked.out)
    return _rows(asked, _methods(asked), 1)


def shared(asked: Namespace) -> dict[str, str]:
    """Return what was asked for of every row, path to text. Raises UserError where an option and ``--set`` differ over a field."""
    return overrides_of(_options(asked), concerning(None, asked.overrides))


def _rows(asked: Namespace, methods: list[str], seeds: int) -> list[Row]:
    return rows(asked.images, asked.recipe, methods, seeds, asked.out, _options(asked), asked.overrides)


def _options(asked: Namespace) -> dict[str, str]:
    return {name: str(value) for name in OPTIONS if (value := getattr(asked, name)) is not None}


def _wanted(asked: Namespace) -> dict[str, Any]:
    """Return what makes two comparisons the same."""
    flags = {f"--{name}": value for name, value in _options(asked).items()}
    return {"images": asked.images, "recipe": asked.recipe, "flags": flags, "set": asked.overrides}


def _methods(asked: Namespace) -> list[str]:
    """Return the methods to compare: those named, or all."""
    return list(dict.fromkeys(asked.methods or METHODS))


def _told(todo: list[Row], failed: dict[Row, int], splits: "Splits", out: Path) -> int:
    found = lines(todo, splits.train.classes or (), len(splits.train))
    if found:
        print()
        print("\n".join(as_text(found)))
        how = reading(next(row for row in todo if row.judged()))
        print("\n" + "\n".join(textwrap.wrap(how, 150)))
        written = write(found, how, [shlex.join(("stopgrad", *words)) for row in todo for words in (row.pretrain, row.evaluate)], out)
        print(f"written to {' and '.join(map(str, written))}. Next: stopgrad report {out}/*-0 --out {out}/report.html")
    if not failed:
        return 0
    if STOPPED in failed.values():
        print(f"{out}: stopped; the same command goes on from there")
        return STOPPED
    names = ", ".join(row.out.name for row in failed)
    print(f"{len(failed)} of {len(todo)} rows failed: {names}; see {out}/NAME.log. The same command tries them again")
    return next(iter(failed.values()))
