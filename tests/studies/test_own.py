"""Studies on images and with recipes of one's own: what makes a study holds there too, and rows are what they are called."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from stopgrad.config import Run, differences
from stopgrad.config.transfer import data_sets
from stopgrad.errors import UserError
from stopgrad.images.source import Splits
from stopgrad.images.sources import open_splits
from stopgrad.plan import overridden, recipe_name, resolved
from stopgrad.studies.catalogue import STUDIES
from stopgrad.studies.resolve import Asked, Planned, planned
from stopgrad.studies.study import Study


@pytest.fixture(scope="module")
def colour(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("colour")
    pixels = np.random.default_rng(0).integers(0, 256, (640, 16, 16, 3), np.uint8)
    for i, image in enumerate(pixels):
        (folder / "ab"[i % 2]).mkdir(exist_ok=True)
        Image.fromarray(image).save(folder / "ab"[i % 2] / f"{i}.png")
    return folder


def rows_of(study: Study, colour: Path, recipe: str | None) -> tuple[Splits, dict[str, Planned]]:
    splits = open_splits(str(colour), "auto")
    onto = data_sets([f"voc07={colour}"], "--onto") if study.onto else []
    asked = Asked(
        scale="small",
        images=str(colour),
        recipe=recipe,
        options={"batch": "64", "epochs": "40"},
        pairs=[],
        device="cpu",
        seeds=1,
        out=Path("x"),
        onto=onto,
    )
    return splits, planned(study, study.rows_at("small"), asked, splits, lambda: False)


@pytest.mark.parametrize("study", STUDIES.values(), ids=lambda s: s.name)
@pytest.mark.parametrize("recipe", [None, "simsiam/cifar10"])
def test_what_makes_a_study_holds_whatever_the_recipe_and_every_row_changes_something(study: Study, recipe: str | None, colour: Path) -> None:
    splits, rows = rows_of(study, colour, recipe)
    for name, row in rows.items():
        begun = resolved(recipe_name(row.recipe, row.method), splits, str(colour), row.before, lambda: False).run
        assert bool(differences(begun, row.run)) == bool(row.changes), f"{name} is its base"
        typed = resolved(recipe_name(row.recipe, row.method), splits, str(colour), row.jobs[0].overrides, lambda: False).run
        shown = overridden(row.run, {"train.seed": "0", "train.on_collapse": "warn"})
        assert differences(shown, typed) == {}, "its command makes the run that the table speaks of"
        settled = {path for path, value in study.base_of(name, "small").always.items() if isinstance(value, str)}
        assert settled <= row.before.keys()
        assert all(row.before[path] == study.base_of(name, "small").always[path] for path in settled)


@pytest.mark.parametrize("recipe", [None, "simsiam/cifar10"])
def test_rows_are_what_they_are_called(recipe: str | None, colour: Path) -> None:
    def each(study: str) -> dict[str, Run]:
        return {name: row.run for name, row in rows_of(STUDIES[study], colour, recipe)[1].items()}

    def of_method(study: str, field: str) -> dict[str, Any]:
        return {name: getattr(run.method, field) for name, run in each(study).items()}

    assert of_method("temperature", "temperature") == {
        "0.1": 0.1,
        "0.05": 0.05,
        "0.5": 0.5,
        "1": 1,
        "10, not normalised": 10,
        "100, not normalised": 100,
    }
    for name, run in each("moco-temperature").items():
        value, _, one = name.partition(", ")
        assert (run.method.temperature, len(run.method.projector)) == (float(value), 1 if one else 2)  # type: ignore[attr-defined]
    for name, value in of_method("moco-momentum", "momentum").items():
        assert value == float(name)
    assert list(of_method("byol-target", "momentum").values()) == [0.99, 1, 0.999, 0.9, None]
    assert set(of_method("byol-no-momentum", "momentum").values()) == {None}
    steps = {name: row.steps for name, row in ((n, r.method) for n, r in each("em-hypothesis").items()) if hasattr(row, "steps")}
    assert list(steps.values()) == [10, 100, 0, 1, 1]
    assert list(of_method("predictor", "predictor_fixed_lr").values()) == [False, False, False, True]
    assert set(of_method("batch-norm", "predictor_fixed_lr").values()) == {True}
    widths = [projector[-1] for projector in of_method("output-dimension", "projector").values()]
    assert [widths[0] // width for width in widths] == [1, 2, 4, 8]
    assert [run.method.predictor_hidden * 4 for run in each("output-dimension").values()] == widths  # type: ignore[attr-defined]
    assert {len(projector): name for name, projector in of_method("moco-v2", "projector").items()} == {1: "v1", 2: "head"}
    assert [queue // 64 for queue in of_method("swav-queue", "queue").values()] == [15, 0]
    assert [len(run.views) for run in each("swav-crops").values()] == [2, 8]
    assert {len(run.views) for run in each("comparison").values()} == {2}
    colours = {name: (run.views[0].jitter[0], run.views[0].blur) for name, run in each("colour-strength").items()}
    strengths = {"1": (0.8, 0), "1/8": (0.1, 0), "1/4": (0.2, 0), "1/2": (0.4, 0), "1, blur": (0.8, 0.5)}
    assert colours == strengths | {f"with labels, {name}": colour for name, colour in strengths.items()}
    assert {run.views[0].jitter_p for run in each("colour-strength").values()} == {0.8}
    alone = each("byol-views")["crop only"].views
    assert all((view.flip, view.jitter_p, view.grey, view.blur, view.solarise) == (0, 0, 0, 0, 0) for view in alone)


def test_a_row_after_the_head_is_after_its_last_layer(colour: Path) -> None:
    for recipe, layers in ((None, 2), ("simclr/cifar10", 3)):
        rows = rows_of(STUDIES["head"], colour, recipe)[1]
        assert len(rows["non-linear"].run.method.projector) == layers  # type: ignore[attr-defined]
        assert {name: row.head for name, row in rows.items() if row.head} == {"non-linear, after it": layers, "linear, after it": 1}
        assert rows["non-linear, after it"].jobs[0].heads == (0, layers)
    splits = open_splits(str(colour), "auto")
    bare = Asked(scale="small", images=str(colour), recipe=None, options={}, pairs=["method.projector=none"], device="cpu", seeds=1, out=Path("x"))
    for name in ("non-linear, after it", "linear"):
        with pytest.raises(UserError, match=rf"head, row '{name}': "):
            planned(STUDIES["head"], {name: STUDIES["head"].rows[name]}, bare, splits, lambda: False)
