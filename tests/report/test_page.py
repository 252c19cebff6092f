"""The page as a whole: its numbers are those of the files."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stopgrad.config import to_json
from stopgrad.report.page import write_report
from tests.report.reading import Page, change, page
from tests.report.runs import clusters, make_config, make_evaluation, make_metrics, picture, write_embeddings, write_lines

BYOL = {"name": "byol", "projector": [512, 256], "predictor_hidden": 512, "predictor_layers": 2, "momentum": 0.99, "stop_gradient": True}
BYOL |= {"predictor_lr": 1.0, "beta": 0.0, "temperature": 0.1}


def test_results_are_those_of_the_file(healthy: Path) -> None:
    text = page(healthy).text
    assert "Raw pixels 71.2 70.0–72.4 78.4 77.2–79.6" in text
    assert "Random initialisation 65.5 64.3–66.7 74.4 73.2–75.6" in text
    assert "This run 86.7 85.4–87.8 +21.2 vs random 90.1 88.9–91.3 +15.7 vs random" in text
    assert "Both train images 12,000 · test images 2,000 · classes 4 kNN k 200 · temperature 0.1 Linear (L-BFGS) l2 0.001" in text


def test_the_latest_result_counts_and_an_early_one_is_said(healthy: Path) -> None:
    with open(healthy / "evaluations.jsonl", "a") as file:
        file.write(json.dumps(make_evaluation("knn", "backbone", 0.5, step=200)) + "\n")
    text = page(healthy).text
    assert "This run 50.0 −15.5 vs random 90.1" in text
    assert "kNN was measured at step 200, the run is at step 400" in text
    assert "86.7" not in text


def test_settings_that_differ_between_rows_are_told_row_by_row(healthy: Path) -> None:
    lines = [
        make_evaluation("lbfgs", f, 0.5, settings={"l2": v, "iterations": 100}) for f, v in (("pixels", 0.1), ("random", 0.1), ("backbone", 0.01))
    ]
    write_lines(healthy / "evaluations.jsonl", [*lines, make_evaluation("sparse", "backbone", 0.25)])
    found = page(healthy).text
    assert "l2 0.1 (raw pixels, random initialisation), 0.01 (this run) · iterations 100" in found
    assert "Linear (L-BFGS) sparse" in found  # an unknown protocol has its own name and column


def test_curves_hold_the_records_of_the_file(healthy: Path) -> None:
    records = make_metrics(400, 20)
    found = page(healthy)
    assert found.chart("loss") == [{"steps": [r["step"] for r in records], "values": [r["loss"] for r in records]}]
    assert found.chart("rank")[0]["values"] == [r["rank"] for r in records if "rank" in r]
    last = records[-1]
    assert f"Output std × √d {last['std']:.4g} " in found.text
    assert f"kNN while training {100 * last['knn']:.1f} %" in found.text
    for reference in ("−1: two views agree fully", "1: isotropic", "0: collapse", "256: the most possible", "−4: independent directions"):
        assert reference in found.text
    assert "Effective rank logarithmic axis" in found.text


def test_the_head_says_what_became_of_the_run(healthy: Path) -> None:
    text = page(healthy).text
    assert "simsiam · resnet18 (cifar stem) · 28 px · 20 epochs · batch 256 · seed 0 Healthy" in text
    assert "kNN 86.7 % top-1, +21.2 vs random Linear (L-BFGS) 90.1 % top-1, +15.7 vs random output std × √d" in text
    assert "training images 11,998 2 set aside, 2,000 more to judge on" in text
    assert "11,998 trained on; 2,000 kept for judging, never trained on" in text
    assert "This run was started with stopgrad pretrain 'my clothes' --epochs 20" in text
    assert "stem: cifar, because the images are 28 pixels wide" in text
    assert "2 truncated By name Image Reason hat/3.jpg truncated hat/7.jpg truncated" in text


@pytest.mark.parametrize(
    ("status", "title"),
    [
        (
            {"state": "finished", "verdict": {"state": "collapsed", "text": "collapsed since step 30: all alike. Try: X", "since_step": 30}},
            "Collapsed since step 30 All alike. Try: X",
        ),
        ({"state": "failed", "verdict": {"state": "diverged", "text": "step 7: not finite", "since_step": None}}, "Diverged Step 7: not finite"),
        (
            {"state": "finished", "verdict": {"state": "unlearned", "text": "has not learned: try X", "since_step": None}},
            "Has not learned Try X",
        ),
        ({"state": "interrupted", "step": 400, "steps": 4000}, "Interrupted at step 400 of 4,000"),
        ({"state": "running", "step": 0, "steps": 0}, "Running at step 400 of 400"),  # the schedule from the records' epochs
    ],
)
def test_the_other_verdicts(healthy: Path, status: dict[str, Any], title: str) -> None:
    change(healthy / "status.json", **status)
    assert title in page(healthy).text


@pytest.mark.parametrize(("verdict", "kind"), [("unlearned", "warned"), ("odd", "warned"), ("collapsed", "collapsed"), ("healthy", "healthy")])
def test_only_a_healthy_verdict_is_green(healthy: Path, verdict: str, kind: str) -> None:
    change(healthy / "status.json", verdict={"state": verdict, "text": "words", "since_step": None})
    found = page(healthy)
    assert [a["class"] for t, a in found.tags if t == "section" and "class" in a] == [f"summary {kind}"]


def test_healthy_is_not_green_where_the_test_images_show_no_gain(healthy: Path) -> None:
    few = (("random", 0.0, (0.0, 0.161)), ("backbone", 0.15, (0.052, 0.36)))
    write_lines(healthy / "evaluations.jsonl", [make_evaluation("knn", f, top1, interval=ends, test_images=20) for f, top1, ends in few])
    found = page(healthy)
    assert "No collapse; no gain shown" in found.text
    assert "On 20 test images it cannot be told from the same network at random initialisation" in found.text
    assert "+15.0 vs random, within noise of 20 test images" in found.text
    assert [a["class"] for t, a in found.tags if t == "span" and str(a.get("class")).startswith("more ") and a["class"] != "more "] == [
        "more unsettled"
    ]
    worse = (("random", 0.6, (0.578, 0.621)), ("backbone", 0.5, (0.478, 0.522)))
    write_lines(healthy / "evaluations.jsonl", [make_evaluation("knn", f, top1, interval=ends) for f, top1, ends in worse])
    assert "No collapse, but worse than untrained" in page(healthy).text


@pytest.mark.parametrize("asked", [{"settings": {"k": 20, "temperature": 0.1}}, {"test_images": 1999}, {"images_sha256": "ef" * 32}])
def test_no_gain_over_what_was_measured_otherwise(healthy: Path, asked: dict[str, Any]) -> None:
    first = [
        make_evaluation("knn", f, top1, images_sha256="cd" * 32, interval=[top1 - 0.01, top1 + 0.01])
        for f, top1 in (("random", 0.6), ("backbone", 0.8))
    ]
    write_lines(healthy / "evaluations.jsonl", first)
    assert "This run 80.0 79.0–81.0 +20.0 vs random" in page(healthy).text
    write_lines(healthy / "evaluations.jsonl", [*first, first[1] | {"top1": 0.9} | asked])  # the backbone alone, once more
    found = page(healthy)
    assert "This run 90.0" in found.text
    assert "vs random" not in found.text
    assert not any("better" in str(a.get("class")) for _, a in found.tags)
    write_lines(healthy / "evaluations.jsonl", [{k: v for k, v in first[0].items() if k != "images_sha256"}, first[1]])  # of an older version
    assert "+20.0 vs random" in page(healthy).text


def test_a_collapse_is_marked_in_every_chart(healthy: Path) -> None:
    write_lines(healthy / "metrics.jsonl", make_metrics(400, 20, collapsed=True))
    change(healthy / "status.json", verdict={"state": "collapsed", "text": "", "since_step": 40})
    found = page(healthy)
    assert sum(a.get("class") == "mark s0" for _, a in found.tags) == len(found.data["charts"]) == 10


def test_neighbours_and_their_marks_are_recomputed(healthy: Path) -> None:
    names, labels, points = clusters(300)
    unit = points / np.linalg.norm(points, axis=1, keepdims=True)
    found = page(healthy)
    figures = [a.get("class") for t, a in found.tags if t == "figure" and a.get("class") in ("query", "right", "wrong")]
    assert figures.count("query") == 8
    assert len(figures) == 64
    shown = [str(a["title"]) for t, a in found.tags if t == "span" and (a.get("class") or "").startswith("thumb")]
    right = 0
    for start in range(0, 64, 8):
        query, *near = [names.index(name) for name in shown[start : start + 8]]
        cosines = unit @ unit[query]
        cosines[query] = -2
        assert near == np.argsort(-cosines)[:7].tolist()
        right += sum(labels[i] == labels[query] for i in near)
        assert f"{cosines[near[0]]:.3f}" in found.text
    assert f"{right} of 56 neighbours have the query's label (of images drawn at random, about 14 would)" in found.text
    assert figures.count("right") == right


def test_the_map_holds_every_image_with_its_label_and_tile(healthy: Path) -> None:
    names, labels, _ = clusters(300)
    found = page(healthy)
    points = found.data["map"]["maps"][0]
    assert points["classes"] == ["boot", "coat", "hat", "shirt"]
    seen = {found.data["map"]["names"][i]: points["classes"][c] for i, c in zip(points["image"], points["label"], strict=True)}
    assert seen == dict(zip(names, labels, strict=True))
    assert sorted(found.data["map"]["tiles"]) == list(range(300))
    assert max(map(abs, points["x"] + points["y"])) == 1
    assert f"boot {labels.count('boot')} coat {labels.count('coat')}" in found.text


def test_large_runs_show_a_part_and_stay_small(healthy: Path, tmp_path: Path) -> None:
    names, labels, points = clusters(2500)
    write_embeddings(healthy / "embeddings.parquet", names, labels, points)
    out = write_report([healthy], tmp_path / "page.html", picture)
    assert len(Page(out).data["map"]["maps"][0]["image"]) == 2000
    assert "2,000 of 2,500 images" in Page(out).text
    assert out.stat().st_size < 3e6


def test_of_many_classes_the_most_frequent_have_a_colour(healthy: Path) -> None:
    labels = [i for i in range(15) for _ in range(3 if i % 3 else 9)]  # 0, 3, 6, 9 and 12 are the frequent ones
    points = np.random.default_rng(0).standard_normal((len(labels), 4))
    write_embeddings(healthy / "embeddings.parquet", [f"{i}.png" for i in range(len(labels))], labels, points)
    found = page(healthy)
    classes = found.data["map"]["maps"][0]["classes"]
    assert classes == ["0", "1", "2", "3", "4", "5", "6", "7", "9", "12", "8", "10", "11", "13", "14"]
    assert len([a for t, a in found.tags if t == "button" and "data-class" in a]) == 10
    assert "5 more classes, 15 images" in found.text


def test_several_runs_share_charts_baselines_and_pictures(healthy: Path, tmp_path: Path) -> None:
    other = shutil.copytree(healthy, tmp_path / "other")
    write_lines(other / "metrics.jsonl", make_metrics(400, 20, seed=7))
    (other / "config.json").write_text(json.dumps(to_json(make_config(seed=1, batch=128))))
    found = page(healthy, other)
    assert found.text.count("Raw pixels 71.2") == 1  # the baselines agree: one row
    assert re.search(r"healthy 86\.7 .* other 86\.7 ", found.text)
    assert [len(s["steps"]) for s in found.chart("loss")] == [40, 40]
    assert found.chart("loss")[0] != found.chart("loss")[1]
    assert "batch 256 128" in found.text
    assert "128: the most possible" in found.text
    differing = [t for t, a in found.tags if t == "tr" and a.get("class") == "differs"]
    assert len(differing) == 2  # seed and batch
    assert len(found.data["map"]["names"]) == 300  # the same images once
    assert len(found.data["map"]["maps"]) == 2


def test_a_baseline_judged_once_a_seed_serves_every_method(healthy: Path, tmp_path: Path) -> None:
    other = shutil.copytree(healthy, tmp_path / "other")
    write_lines(other / "evaluations.jsonl", [make_evaluation("knn", "backbone", 0.7)])
    assert re.search(r" other 70\.0 \+4\.5 vs random", page(healthy, other).text)
    (other / "config.json").write_text(json.dumps(to_json(make_config(seed=1))))  # began with other weights
    assert re.search(r" other 70\.0 (?!\+)", page(healthy, other).text)


def test_commands_for_the_other_runs_are_pointed_to(empty: Path, healthy: Path, tmp_path: Path) -> None:
    for name in ("evaluations.jsonl", "embeddings.parquet"):
        (healthy / name).unlink()
    others = [shutil.copytree(healthy, tmp_path / f"run{i}") for i in range(4)]
    found = page(*others)
    assert found.text.count("And so for the others: see Next") == 2  # results and neighbours
    assert found.html.count(f"stopgrad evaluate {others[3]} ") == found.html.count(f"stopgrad embed {others[3]} ") == 1  # under Next only
    assert found.html.count(f"stopgrad evaluate {others[2]} ") == found.html.count(f"stopgrad embed {others[2]} ") == 2
    assert "And so for the others" not in page(*others[:3]).text
    assert "And so for the others" not in page(empty, *others[:3]).text  # of an unfinished run there is nothing to judge


def test_limits_that_runs_do_not_share_say_whose_they_are(healthy: Path, tmp_path: Path) -> None:
    other = shutil.copytree(healthy, tmp_path / "other")
    record = to_json(make_config())
    record["method"] = BYOL
    (other / "config.json").write_text(json.dumps(record))
    text = page(healthy, other).text
    assert "0: two views agree fully (byol) −1: two views agree fully (simsiam)" in text
    assert "Comparable only between runs of one method." in text
    (other / "config.json").write_text(json.dumps(to_json(make_config(batch=128))))
    assert "256: the most possible (healthy) 128: the most possible (other)" in page(healthy, other).text


def test_many_runs_are_a_table_and_say_what_they_share_once(healthy: Path, tmp_path: Path) -> None:
    others = [shutil.copytree(healthy, tmp_path / f"run{i}") for i in range(11)]
    for i, run in enumerate(others):
        (run / "config.json").write_text(json.dumps(to_json(make_config(seed=i % 3, batch=64 * 2 ** (i // 3)))))
    found = page(*others[:4])
    assert "All: simsiam · resnet18 (cifar stem) · 28 px · 20 epochs" in found.text
    assert found.text.count("of at most 64") == 3
    assert not [a for t, a in found.tags if t == "section" and "class" in a]
    found = page(*others)
    assert "batch 64 ( run0, run1, run2 ) 128 ( run3, run4, run5 )" in found.text  # too many for a column each
    lines = [str(a["class"]) for t, a in found.tags if t == "path" and str(a.get("class")).startswith("line")][:11]
    assert lines[:4] == ["line s0", "line s0 turn1", "line s0 turn2", "line s1"]  # the seeds of one configuration share a colour
    assert len(set(lines)) == 11


def test_embedded_images_are_told_from_those_trained_on(healthy: Path) -> None:
    change(healthy / "status.json", images={"used": 270, "bad": 0})
    write_lines(healthy / "evaluations.jsonl", [make_evaluation("knn", "backbone", 0.7, train_images=270, test_images=30)])
    assert page(healthy).text.count("300 images (the 270 trained on and 30 kept for judging)") == 2
    (healthy / "evaluations.jsonl").unlink()
    assert "among 300 images (more than the 270 trained on, so others are among them)" in page(healthy).text


def test_runs_on_other_images_never_share_pictures(healthy: Path, tmp_path: Path) -> None:
    other = shutil.copytree(healthy, tmp_path / "other")
    record = to_json(make_config())
    record["data"]["source"] = "elsewhere"
    (other / "config.json").write_text(json.dumps(record))
    write_embeddings(other / "embeddings.parquet", *clusters(300)[:1], ["x", "y", "z"] * 100, clusters(300)[2])
    asked: list[Path] = []
    out = write_report([healthy, other], tmp_path / "page.html", lambda run, name: asked.append(run) or picture(run, name))  # type: ignore[func-returns-value]
    assert set(asked) == {healthy, other}
    data = Page(out).data["map"]
    assert len(data["names"]) == 600
    assert [m["classes"] for m in data["maps"]] == [["boot", "coat", "hat", "shirt"], ["x", "y", "z"]]
