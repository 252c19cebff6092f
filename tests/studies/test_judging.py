"""Figures of evaluations.jsonl are taken for a study's only where they were judged just as it would judge."""

import base64
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from stopgrad.config.transfer import DataSet, data_set
from stopgrad.studies.catalogue import STUDIES
from stopgrad.studies.judging import Figure, Judging, frozen, told
from stopgrad.studies.scales import SIZES
from stopgrad.studies.study import Scale

(LINEAR,) = frozen("linear", "knn", settings="simsiam")
FIGURE = LINEAR.figures[0]


def line(judging: Judging, top1: float, **changes: Any) -> dict[str, Any]:
    (figure, *_) = judging.figures
    said = {"features": "backbone", "protocol": figure.protocol, "asked": judging.asked(figure.protocol), "images_sha256": judging.images}
    said |= {"place": judging.place} if judging.place else {}
    return said | {"data": figure.data, "variant": figure.variant, "top1": top1, "test_images": 9, "step": 5} | changes


def test_the_last_line_of_the_same_settings_images_features_and_step_counts() -> None:
    same = [line(LINEAR, 0.3), line(LINEAR, 0.4)]
    others = [
        line(frozen("linear", settings="byol")[0], 0.5),
        line(LINEAR, 0.6, images_sha256="others"),
        line(LINEAR, 0.65, place="/elsewhere"),
        line(LINEAR, 0.7, features="random"),
        line(LINEAR, 0.8, step=4),
        line(LINEAR, 0.9, asked=LINEAR.asked("linear") | {"lr": 3.0}),
        {key: value for key, value in line(LINEAR, 0.95).items() if key != "asked"},
    ]
    found = told([*same, *others], LINEAR, FIGURE, "backbone", 5)
    assert found is not None
    assert (found.value, found.interval, found.test_images, found.right) == (0.4, None, 9, b"")
    assert told(others, LINEAR, FIGURE, "backbone", 5) is None
    assert told(others, LINEAR, FIGURE, "backbone", None) is not None, "a step that does not matter"


def test_what_was_rightly_named_belongs_to_top1() -> None:
    bits = np.packbits([1, 0, 1, 1, 0, 0, 0, 0, 1]).tobytes()
    right = base64.b64encode(bits).decode()
    found = told([line(LINEAR, 4 / 9, right=right)], LINEAR, FIGURE, "backbone", 5)
    assert found is not None
    assert found.right == bits


def test_a_figure_is_of_its_data_set_variant_and_metric() -> None:
    pets = Figure("pets", "lbfgs", "", "mean_per_class", "pets")
    judging = Judging(protocols=("lbfgs",), figures=(pets,), onto=DataSet(name="pets", path="p"), images="a")
    said = line(judging, 0.7, metric="mean_per_class", value=0.6, interval=[0.5, 0.7])
    found = told([said], judging, pets, "backbone", 5)
    assert found is not None
    assert (found.value, found.interval, found.right) == (0.6, (0.5, 0.7), b"")
    assert told([said], judging, replace(pets, metric="top1"), "backbone", 5) is None, "its penalty was chosen by the other metric"
    assert told([said], judging, replace(pets, data="cars"), "backbone", 5) is None
    boxes = Figure("coco AP50", "detection", "small c4", "box_ap50", "coco")
    judging = Judging(protocols=("detection",), settings="small", figures=(boxes,), onto=DataSet(name="coco", path="c"), images="b")
    scores = {"box_ap": 0.1, "box_ap50": 0.2, "mask_ap": None}
    said = {key: value for key, value in line(judging, 0.1).items() if key not in ("top1", "step")} | {"metric": "ap", "value": 0.1, "scores": scores}
    found = told([said], judging, boxes, "backbone", 5)
    assert found is not None
    assert found.value == 0.2
    assert told([said], judging, replace(boxes, metric="mask_ap"), "backbone", 5) is None
    assert told([said], judging, replace(boxes, variant="voc07 c4"), "backbone", 5) is None


def test_a_seed_draws_its_own_where_its_judging_draws() -> None:
    assert Judging(protocols=("knn",), figures=()).at(3).words == ("--protocol", "knn")
    drawn = Judging(protocols=("semi",), settings="small-1", figures=(), seeded=True)
    assert drawn.at(3).asked("semi")["seed"] == 3
    assert drawn.at(3).asked("semi") | {"seed": 0} == drawn.at(0).asked("semi")


@pytest.mark.parametrize("scale", ["paper", "gpu", "small"])
def test_no_two_ways_of_judging_are_taken_for_each_other(scale: Scale) -> None:
    """Runs are shared by studies: judged by two papers' settings, a run has two lines for one column."""
    every: set[tuple[Judging, Figure]] = set()
    for study in STUDIES.values():
        onto = () if study.onto is None else study.onto(scale, data_set("voc07=V"))
        for row in study.rows_at(scale).values():
            ways = onto or row.judged.get(scale) or study.judged.get(scale) or SIZES[scale].judged
            every |= {(judging, figure) for judging in ways for figure in judging.figures}
    for judging, figure in every:
        detected = {"scores": {figure.metric: 0.5}} if figure.protocol == "detection" else {}
        says = line(replace(judging, figures=(figure,)), 0.5, metric=figure.metric, value=0.5, **detected)
        for other, same in every:
            found = told([says], other, same, "backbone", 5)
            assert (judging, figure) != (other, same) or found is not None
            if found is not None and figure == same:
                assert judging.asked(figure.protocol) == other.asked(figure.protocol), f"{judging.words} is taken for {other.words}"
    if scale == "paper":
        linear = {judging.settings for judging, figure in every if figure.protocol == "linear"}
        assert linear == {"simsiam", "simclr", "moco", "byol", "swav"}
        assert STUDIES["crossings"].rows["byol"].judged["paper"][0].settings == "byol", "its numbers are of BYOL's paper"
