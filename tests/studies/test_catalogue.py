"""The studies as values: every row is its base with exactly the named values, at every scale; findings name rows that are there."""

import re
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from stopgrad.config import differences
from stopgrad.plan import complete, overridden, recipe_name
from stopgrad.studies.catalogue import STUDIES, choose
from stopgrad.studies.resolve import Asked, begun_with
from stopgrad.studies.scales import SIZES
from stopgrad.studies.study import Row, Scale, Study, Times, texts

IMAGES: dict[Scale, int] = {"paper": 1_281_167, "gpu": 50_000, "small": 10_000}
CASES = [(study, scale) for study in STUDIES.values() for scale in IMAGES]


@pytest.mark.parametrize(("study", "scale"), CASES, ids=lambda v: getattr(v, "name", v))
def test_every_row_differs_from_its_base_in_exactly_the_named_values(study: Study, scale: Scale) -> None:
    for name, row in study.rows_at(scale).items():
        base = study.base_of(name, scale)
        recipe = recipe_name(base.recipe, base.method)
        begun = overridden(complete(recipe, IMAGES[scale], None, None).run, {**SIZES[scale].changes, **base.changes, **base.always})
        named = texts(row.changed(scale), begun)
        made = overridden(begun, named)
        found = {path if path in named else re.sub(r"\.\d+\b", "", path) for path in differences(begun, made)}
        assert found == named.keys(), f"{study.name}, {name}"
        again = overridden(complete(recipe, IMAGES[scale], None, None).run, {**SIZES[scale].changes, **base.changes, **base.always, **named})
        assert differences(made, again) == {}, "the row's command makes another run"


@pytest.mark.parametrize("study", STUDIES.values(), ids=lambda s: s.name)
def test_a_study_reads_by_itself(study: Study) -> None:
    assert study.question.endswith("?")
    assert study.source
    first = next(iter(study.rows.values()))
    assert (first.changes, first.scales) == ({}, ("paper", "gpu", "small")), "the first row is the base, wherever the study is done"
    for scale in IMAGES:
        there = study.rows_at(scale)
        assert len(there) >= 2
        for name, row in there.items():
            assert row.published is None or 0 < row.published < 100
            for finding in row.findings:
                assert (finding.other in there and finding.other != name) if finding.kind in ("above", "below", "near") else not finding.other


def test_what_the_paper_found_agrees_with_its_own_numbers() -> None:
    """Of rows with published numbers on both sides, above and below are the sign of their difference."""
    for study in STUDIES.values():
        for name, row in study.rows.items():
            for finding in row.findings:
                other = study.rows[finding.other].published if finding.other else None
                if row.published is not None and other is not None:
                    apart = row.published - other
                    holds = {"above": apart > 0, "below": apart < 0, "near": abs(apart) <= finding.points}[finding.kind]
                    assert holds, f"{study.name}: {name} {finding.words}, but the paper has {apart:+.1f}"


def test_a_multiple_is_of_the_bases_own_number() -> None:
    run = complete("demo", 10_000, None, None).run
    changes = {"train.batch": Times(1 / 8), "optim.lr": Times(4), "method.predictor": "none"}
    assert texts(changes, run) == {"train.batch": "16", "optim.lr": "2.8", "method.predictor": "none"}


def test_rows_that_are_asked_for_bring_what_they_are_read_against() -> None:
    _, rows = choose(["batch-size"], "small", ["8x, LARS"])["batch-size"]
    assert list(rows) == ["default", "8x", "8x, LARS"]
    assert rows["8x"] == STUDIES["batch-size"].rows["8x"]
    assert all(isinstance(row, Row) for row in rows.values())


def test_composition_has_every_operation_and_every_pair_once_and_changes_one_branch() -> None:
    study = STUDIES["composition"]
    names = study.each_with_each
    assert len(study.rows) == 7 + 21
    assert {frozenset(name.split(" + ")) for name in study.rows} == {frozenset(pair) for pair in product(names, repeat=2)}
    for scale, images in IMAGES.items():
        base = study.base[scale]
        begun = overridden(
            complete(recipe_name(base.recipe, base.method), images, None, None).run, {**SIZES[scale].changes, **base.changes, **base.always}
        )
        other = begun.views[1]
        assert (other.scale, other.flip, other.jitter_p, other.grey, other.blur, other.solarise) == ((1, 1), 0, 0, 0, 0, 0)
        assert replace(begun.views[0], scale=(1.0, 1.0)) == other, "but for its crop the first branch begins as the other"
        assert begun.views[0].scale[0] < 0.3
        assert max(begun.views[0].jitter) >= 0.4
        for row in study.rows.values():
            made = overridden(begun, texts(row.changed(scale), begun))
            assert made.views[1] == other
            assert (made.views[0].scale == (1, 1)) is ("views.0.scale" in row.changes)


def test_what_a_study_is_about_holds_for_other_images_and_recipes_too() -> None:
    study, asked = STUDIES["composition"], Asked(scale="small", images="photos", recipe=None, options={}, pairs=[], device="cpu", seeds=1, out=Path())
    _, method, before = begun_with(study.base["small"], asked)
    assert method == "simclr"
    assert before == {**SIZES["small"].changes, "train.epochs": "10", **study.base["small"].always}
