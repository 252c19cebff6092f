"""From what was asked to the runs: every row's base, what exactly it changes, and its runs by seed."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from stopgrad.beforehand import FLAGS, check, overrides_of
from stopgrad.config import Run, differences, to_json
from stopgrad.config.crops import PATH
from stopgrad.config.transfer import DataSet
from stopgrad.errors import UserError
from stopgrad.images.place import BUNDLED
from stopgrad.plan import overridden, recipe_name, resolved
from stopgrad.recipes import method_of
from stopgrad.studies.jobs import Job, place
from stopgrad.studies.judging import Judging
from stopgrad.studies.scales import SIZES, Size
from stopgrad.studies.study import Base, Row, Scale, Study
from stopgrad.studies.values import Relative, Value, as_typed, settles, texts

if TYPE_CHECKING:
    from stopgrad.images.source import Splits


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What all runs are to share, as it was typed."""

    scale: Scale
    images: str
    recipe: str | None
    """In place of every base's own; None: those of the scale."""
    options: Mapping[str, str]
    """Options of pretrain, by name."""
    pairs: Sequence[str]
    """PATH=VALUE for all."""
    device: str
    seeds: int
    out: Path
    rows: Sequence[str] = ()
    """Those that were asked for by name; none: all."""
    onto: Sequence[DataSet] = ()
    """The data sets that transfer is judged on."""

    @property
    def size(self) -> Size:
        """What the scale says of all runs."""
        return SIZES[self.scale]

    def about(self, study: Study) -> str:
        """Return at what size ``study`` is done, and what else than its scale's was asked for."""
        published = f"the published setting: {study.images}" if study.images and self.scale == "paper" else self.size.about
        typed = overrides_of(self.options, self.pairs)
        return f"recipe {self.own}" if self.own else published + (f"; changed in all rows: {', '.join(typed)}" if typed else "")

    def command(self, study: str) -> str:
        """Return the command that asks for ``study`` as it was asked for."""
        size, words = self.size, ["stopgrad", "study", study, "--scale", self.scale]
        words += [] if self.images == size.data else ["--data", self.images]
        words += [] if self.recipe is None else ["--recipe", self.recipe]
        words += [word for name, value in self.options.items() for word in (f"--{name}", value)]
        words += [word for pair in self.pairs for word in ("--set", pair)]
        words += ["--rows", *self.rows] if self.rows else []
        words += ["--onto", *map(str, self.onto)] if self.onto else []
        words += [] if self.device == "auto" else ["--device", self.device]
        return shlex.join([*words, "--seeds", str(self.seeds), "--out", str(self.out)])

    @property
    def own(self) -> str | None:
        """The recipe that takes the place of the bases' own: the one named; for other images than a small study's, the one fitted to images."""
        return self.recipe or ("images" if self.scale == "small" and self.images != BUNDLED else None)


def judgings(study: Study, row: Row, asked: Asked) -> tuple[Judging, ...]:
    """Return how ``row`` is judged. Raises UserError for a data set of a kind that the study has no protocol for."""
    if study.onto is not None:
        return tuple(judging for one in asked.onto for judging in study.onto(asked.scale, one))
    return row.judged.get(asked.scale) or study.judged.get(asked.scale) or asked.size.judged


@dataclass(frozen=True)
class Planned:
    """One row, ready to be made."""

    row: Row
    recipe: str
    """As it is typed."""
    method: str | None
    before: Mapping[str, str]
    """What the scale and its user set in all rows of this base, path to text."""
    changes: Mapping[str, str]
    """What the row changes, path to text."""
    run: Run
    """At seed 0; its steps are those of every seed."""
    head: int
    """Judged on the features after so many layers of the projector; 0: on the backbone's."""
    jobs: tuple[Job, ...]
    """By seed."""


def begun_with(base: Base, asked: Asked) -> tuple[str, str | None, dict[str, str]]:
    """Return the recipe, the method and what is set in all rows of ``base``, but for what is relative to these.

    Raises UserError where an option and ``--set`` differ.
    """
    typed = overrides_of(asked.options, asked.pairs)
    always = {path: value for path, value in base.always.items() if isinstance(value, str)}
    if asked.own in (None, base.recipe):
        return base.recipe, base.method, {**asked.size.changes, **base.changes, **always, **typed}
    epochs = {path: text for path, text in base.changes.items() if path == "train.epochs" and asked.scale != "paper"}
    return asked.own, base.method or method_of(base.recipe), {**asked.size.changes, **epochs, **always, **typed}


def relative(base: Base) -> dict[str, Value]:
    """Return what is set in all rows of ``base`` once the run that they begin with is known."""
    return {path: value for path, value in base.always.items() if isinstance(value, Relative)}


def beforehand(studies: Mapping[str, tuple[Study, Mapping[str, Row]]], asked: Asked) -> None:
    """Raise UserError for what is wrong with any base whatever the images are, where a row changes what was asked for of all, and with --onto."""
    if asked.recipe is not None and "+" in asked.recipe:
        raise UserError(f"--recipe {asked.recipe}: rows bring their methods with them; name a recipe alone: {asked.recipe.partition('+')[0]}")
    seen: set[tuple[str, ...]] = set()
    _refuse_onto([study for study, _ in studies.values()], asked)
    for study, rows in studies.values():
        for name, row in rows.items():
            recipe, method, before = begun_with(study.base_of(name, asked.scale), asked)
            key = (recipe, method or "", *(f"{path}={text}" for path, text in before.items()))
            if key not in seen:
                check(recipe_name(recipe, method), before, asked.images)
            seen.add(key)
            _refuse_both(study, name, row, asked)
            judgings(study, row, asked)


def _refuse_onto(studies: Sequence[Study], asked: Asked) -> None:
    """Raise UserError where a study needs other images to judge on, and where none does."""
    needing = [study.name for study in studies if study.onto is not None]
    if needing and not asked.onto:
        raise UserError(f"study {needing[0]}: is judged on other images than it trains on; name them, as in --onto mine=PATH")
    if asked.onto and not needing:
        raise UserError(f"--onto {asked.onto[0]}: {' and '.join(study.name for study in studies)}: judged on the images trained on; leave it out")


OF_EVERY_STUDY = {
    "train.seed": "what tells the runs of a row apart (--seeds says how many)",
    "train.on_collapse": "warn in every row: one that collapses is to be seen to its end",
}
"""What no study can be asked for otherwise, and why."""


def _refuse_both(study: Study, name: str, row: Row, asked: Asked) -> None:
    """Raise UserError where a row sets what was set of all rows; a multiple of it is one of what was set."""
    typed = overrides_of(asked.options, asked.pairs)
    fixed = dict(OF_EVERY_STUDY)
    changed, always = row.changed(asked.scale), study.base_of(name, asked.scale).always
    fixed |= {path: f"what the row {name!r} of {study.name} changes{_told('to', v)}" for path, v in changed.items() if settles(v)}
    fixed |= {
        path: f"what {study.name} is about{_told('it is', v)}" for path, v in always.items() if v != typed.get(path) and (settles(v) or path in typed)
    }
    for path, text in typed.items():
        for other, why in fixed.items():
            if _same_field(path, other):
                option = next((f"--{flag}" for flag in asked.options if FLAGS[flag] == path), f"--set {path}")
                raise UserError(f"{option} {text}: is {why}; leave it to the study")


def _told(word: str, value: Value) -> str:
    return f" ({word} {value})" if isinstance(value, str) else ""


def _same_field(a: str, b: str) -> bool:
    """Return whether setting ``a`` and setting ``b`` touch a field in common: those of all views and of one of them do."""
    left, right = a.split("."), b.split(".")
    if PATH in (a, b) and {left[0], right[0]} == {"views"}:  # it makes sizes anew
        return {left[-1], right[-1]} <= {"crops", "size"}
    return left[-1] == right[-1] and left[0] == right[0] and (left == right or len(left) != len(right))


def planned(study: Study, rows: Mapping[str, Row], asked: Asked, splits: "Splits", has_gpu: Callable[[], bool]) -> dict[str, Planned]:
    """Return ``rows`` with their runs, by name. Raises UserError for a row that cannot be trained on these images, naming it."""
    found = {}
    for name, row in rows.items():
        recipe, method, before = begun_with(study.base_of(name, asked.scale), asked)
        try:
            begun = resolved(recipe_name(recipe, method), splits, asked.images, before, has_gpu).run
            if fitted := texts(relative(study.base_of(name, asked.scale)), begun):
                before |= fitted
                begun = resolved(recipe_name(recipe, method), splits, asked.images, before, has_gpu).run
            changes = texts(row.changed(asked.scale), begun)
            run = overridden(begun, changes)
            again = resolved(recipe_name(recipe, method), splits, asked.images, before | changes, has_gpu).run
            # What the recipe fits to another length or batch by itself stays as the base has it: a row changes what it names.
            kept = {path: as_typed(value) for path, (value, _) in differences(run, again).items()}
            head = _after(run, row)
        except UserError as error:
            raise UserError(f"{study.name}, row {name!r}: {error}") from None
        if run.train.batch > len(splits.train):
            raise UserError(
                f"{study.name}, row {name!r}: a step takes {run.train.batch} images and {asked.images} has {len(splits.train)}; "
                "take a smaller --batch, more images, or other --rows"
            )
        made = _job(asked, recipe, method, {**before, **kept, **changes}, run, head)
        judged, reference = judgings(study, row, asked), name == study.reference
        jobs = tuple(replace(made(seed), judged=tuple(one.at(seed) for one in judged), random=reference) for seed in range(asked.seeds))
        found[name] = Planned(row, recipe, method, before, changes, run, head, jobs)
    return found


def _after(run: Run, row: Row) -> int:
    """Return how many layers of the projector ``row`` is judged after. Raises UserError where it has none."""
    layers = len(to_json(run)["method"].get("projector", ())) if row.after_head else 0
    if row.after_head and not layers:
        raise UserError("is judged after the projector, and there is none")
    return layers


def _job(asked: Asked, recipe: str, method: str | None, overrides: Mapping[str, str], run: Run, head: int) -> Callable[[int], Job]:
    """Return what makes the run of a seed, not yet judged."""
    study_wide = {"train.on_collapse": "warn"}  # a row that collapses is to be seen to its end
    same = {"images": asked.images, "recipe": recipe_name(recipe, method), "overrides": dict(overrides), "device": asked.device}
    return lambda seed: Job(
        out=place(asked.out, run.method.name, same, seed),
        images=asked.images,
        recipe=recipe,
        method=method,
        overrides={"train.seed": str(seed), **study_wide, **overrides},
        device=asked.device,
        judged=(),
        heads=tuple(sorted({0, head})),
    )
