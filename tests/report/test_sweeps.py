"""The penalty's sweep is a curve with the choice marked, not a line of numbers."""

import re
import shutil
from pathlib import Path
from typing import Any

from tests.report.reading import page
from tests.report.runs import make_evaluation, write_lines


def swept(features: str, chosen: float, accuracies: list[float]) -> dict[str, Any]:
    tried = {f"{10.0 / 10**i:g}": accuracy for i, accuracy in enumerate(accuracies)}
    settings = {"l2": chosen, "held_out": 0.2, "held_out_images": 40, "held_out_accuracy": tried}
    return make_evaluation("lbfgs", features, 0.5, settings=settings, notes=["the best l2 is at the edge"] if chosen == 10 else [])


def test_every_row_has_its_curve_and_its_choice(healthy: Path) -> None:
    write_lines(healthy / "evaluations.jsonl", [swept("pixels", 1, [0.1, 0.3, 0.2]), swept("backbone", 10, [0.5, 0.4])])
    found = page(healthy)
    assert "Raw pixels l2 0.1: 20.0\u00a0%" in found.text.replace(" %", "\u00a0%")
    assert re.search(r"Raw pixels .* 1 30\.0\s% This run .* 10 50\.0\s%", found.text)
    assert "l2 from 0.1 to 10 (logarithmic), accuracy from 10.0\u00a0% to 50.0\u00a0%" in found.html
    assert "40 training images held out" in found.text
    assert "held out accuracy" not in found.text
    rings = re.findall(r'class="ring" cx="([^"]*)"', found.html)
    assert [float(x) for x in rings] == [84.0, 163.0]  # the middle and the right end of 0.1 .. 10
    assert "healthy: the best l2 is at the edge" in found.text


def test_a_baseline_that_runs_share_is_drawn_once(healthy: Path, tmp_path: Path) -> None:
    write_lines(healthy / "evaluations.jsonl", [swept("pixels", 1, [0.1, 0.3, 0.2]), swept("backbone", 1, [0.4, 0.5, 0.4])])
    other = shutil.copytree(healthy, tmp_path / "other")
    assert page(healthy, other).html.count('class="ring"') == 3


def test_baselines_that_differ_are_named(healthy: Path, tmp_path: Path) -> None:
    write_lines(
        healthy / "evaluations.jsonl", [swept("pixels", 1, [0.1, 0.3, 0.2]), swept("random", 1, [0.2, 0.3, 0.2]), swept("backbone", 1, [0.5])]
    )
    same, other = (shutil.copytree(healthy, tmp_path / name) for name in ("same", "other"))
    fewer = swept("pixels", 1, [0.1, 0.4, 0.2])
    fewer["settings"]["held_out_images"] = 30
    write_lines(other / "evaluations.jsonl", [fewer, swept("random", 1, [0.2, 0.3, 0.2])])
    found = page(healthy, same, other)
    rows = re.findall(r"<bdi>([^<]*)</bdi></th><td><svg", found.html)
    assert rows == ["Raw pixels, healthy, same", "Raw pixels, other", "Random initialisation", "healthy", "same"]
    assert "Chosen by the accuracy on training images held out for it" in found.text  # 40 of some, 30 of others
    assert "Chosen by the accuracy on 40 training images held out for it" in page(healthy, same).text


def test_one_penalty_is_a_curve_of_one_point(healthy: Path) -> None:
    write_lines(healthy / "evaluations.jsonl", [swept("backbone", 10, [0.5])])
    assert page(healthy).html.count('class="ring"') == 1
