"""The page as a whole: its numbers are those of the files, nothing from outside becomes markup, and it needs nothing else."""

import json
import math
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stopgrad.config import to_json
from stopgrad.errors import UserError
from stopgrad.report.page import write_report
from tests.report.runs import clusters, make_config, make_evaluation, make_metrics, picture, write_embeddings, write_lines

EVIL = ("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "</script><b>", "{{ 7 * 7 }}", "it's & <i>")


class Page(HTMLParser):
    """What a browser would find: the text, the tags with their attributes, and the data of the script."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.html = path.read_text()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.inside: list[str] = []
        self.feed(self.html)
        data = re.search(r'<script type="application/json" id="data">(.*?)</script>', self.html, re.DOTALL)
        assert data is not None
        self.data = json.loads(data[1])
        self.text = re.sub(r"\s+", " ", " ".join(self.words))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        self.inside = self.inside[: len(self.inside) - 1 - self.inside[::-1].index(tag)]

    def handle_data(self, data: str) -> None:
        if self.inside and self.inside[-1] not in ("script", "style"):
            self.words.append(data)

    def chart(self, key: str) -> list[dict[str, Any]]:
        return next(c["series"] for c in self.data["charts"] if c["key"] == key)


def page(*runs: Path) -> Page:
    return Page(write_report(runs, runs[0] / "report.html", picture))


def change(path: Path, **fields: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def test_results_are_those_of_the_file(healthy: Path) -> None:
    text = page(healthy).text
    assert "Raw pixels 71.2 ± 1.2 78.4 ± 1.2" in text
    assert "Random initialisation 65.5 ± 1.2 74.5 ± 1.2" in text  # 74.45 to even would be 74.4; floats say 74.45000000000000284
    assert "This run 86.7 ± 1.2 +21.2 vs random 90.1 ± 1.2 +15.7 vs random" in text
    assert "train images 12,000 · test images 2000 · classes 4 · k 200 · temperature 0.1" in text


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
    for reference in ("−1: two views agree fully", "1: isotropic", "0: collapse", "256: the most possible", "−4: evenly spread"):
        assert reference in found.text


def test_the_head_says_what_became_of_the_run(healthy: Path) -> None:
    text = page(healthy).text
    assert "simsiam · resnet18 (cifar stem) · 28 px · 20 epochs · batch 256 · seed 0 Healthy" in text
    assert "images 11,998 2 set aside" in text
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
        ({"state": "interrupted", "step": 400, "steps": 4000}, "Interrupted at step 400 of 4,000"),
        ({"state": "running", "step": 0, "steps": 0}, "Running at step 400 of 400"),  # the schedule from the records' epochs
    ],
)
def test_the_other_verdicts(healthy: Path, status: dict[str, Any], title: str) -> None:
    change(healthy / "status.json", **status)
    assert title in page(healthy).text


def test_a_collapse_is_marked_in_every_chart(healthy: Path) -> None:
    write_lines(healthy / "metrics.jsonl", make_metrics(400, 20, collapsed=True))
    change(healthy / "status.json", verdict={"state": "collapsed", "text": "", "since_step": 40})
    found = page(healthy)
    assert sum(a.get("class") == "mark s0" for _, a in found.tags) == len(found.data["charts"]) == 9


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
    assert f"{right} of 56 neighbours have the query's label" in found.text
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


def test_runs_on_other_images_never_share_pictures(healthy: Path, tmp_path: Path) -> None:
    other = shutil.copytree(healthy, tmp_path / "other")
    record = to_json(make_config())
    record["data"]["source"] = "elsewhere"
    (other / "config.json").write_text(json.dumps(record))
    asked: list[Path] = []
    out = write_report([healthy, other], tmp_path / "page.html", lambda run, name: asked.append(run) or picture(run, name))  # type: ignore[func-returns-value]
    assert set(asked) == {healthy, other}
    assert len(Page(out).data["map"]["names"]) == 600


def test_nothing_from_outside_becomes_markup(healthy: Path) -> None:
    plain = [t for t, _ in page(healthy).tags]
    assert "b" in plain  # the labels of the gallery; what follows must add no other tag
    names = [f"{EVIL[i % 5]}/{i}" for i in range(60)]
    write_embeddings(healthy / "embeddings.parquet", names, [EVIL[i % 5] for i in range(60)], np.random.default_rng(0).standard_normal((60, 8)))
    write_lines(healthy / "bad_images.jsonl", [{"name": evil, "reason": evil} for evil in EVIL])
    change(healthy / "environment.json", command=["stopgrad", *EVIL], **{evil: evil for evil in EVIL})
    change(healthy / "status.json", state="interrupted", chosen=list(EVIL), verdict={"state": "healthy", "text": "".join(EVIL), "since_step": None})
    settings = [make_evaluation(evil, "backbone", 0.5, settings={evil: evil}) for evil in EVIL]
    write_lines(healthy / "evaluations.jsonl", settings)
    config = to_json(make_config())
    config["data"]["source"] = config["recipe"] = config["net"]["backbone"] = EVIL[1]
    (healthy / "config.json").write_text(json.dumps(config))
    run = healthy.rename(healthy.with_name("<img src=x onerror=alert(2)>"))
    found = Page(write_report([run], run.parent / "page.html", picture))
    assert [t for t, _ in found.tags if t in ("script", "i", "img", "link", "iframe", "object")].count("script") == 2  # data and code
    assert all(a.get("id") == "sheet" for t, a in found.tags if t == "img")
    assert all(not key.startswith("on") for _, a in found.tags for key in a)
    assert not [a for t, a in found.tags if t == "i" and a.get("class") is None and "style" not in a]
    for evil in EVIL:
        assert re.sub(r"\s+", " ", evil) in found.text
    assert "49" not in re.findall(r"Reproduce.*", found.text)[0]
    assert set(found.data["map"]["maps"][0]["classes"]) == set(EVIL)
    assert "<img src=x" not in found.html


def test_the_page_loads_nothing(healthy: Path) -> None:
    found = page(healthy)
    assert not re.search(
        r"https?:|//[a-z]|@import|url\((?!data:)",
        re.sub(r"data:image/jpeg;base64,[A-Za-z0-9+/=]*|^\s*//.*$| // .*$", "data:", found.html, flags=re.M),
    )
    policy = next(a["content"] for t, a in found.tags if t == "meta" and a.get("http-equiv") == "Content-Security-Policy")
    assert str(policy).startswith("default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'")
    assert all(str(a["src"]).startswith("data:image/jpeg;base64,") for _, a in found.tags if "src" in a)
    assert all(str(a["href"]).startswith("#") for _, a in found.tags if "href" in a)


def test_the_same_files_give_the_same_bytes(healthy: Path, tmp_path: Path) -> None:
    first = write_report([healthy], tmp_path / "a.html", picture).read_bytes()
    assert write_report([healthy], tmp_path / "b.html", picture).read_bytes() == first


def test_a_run_that_has_only_begun(empty: Path) -> None:
    text = page(empty).text
    assert "Not started Nothing was recorded yet." in text
    assert f"this fills the table: stopgrad evaluate {empty}" in text
    assert text.count(f"stopgrad embed {empty} IMAGES") == 2
    assert f"stopgrad pretrain clothes --out {empty}" in text
    assert "predictor_hidden 128" in text


def test_a_torn_line_and_numbers_that_are_none(healthy: Path) -> None:
    records = make_metrics(400, 20)
    records[5]["loss"], records[-1]["std"], records[-1]["rank"] = math.nan, math.inf, None
    write_lines(healthy / "metrics.jsonl", records)
    with open(healthy / "metrics.jsonl", "ab") as file:
        file.write(b'{"step": 410, "loss": -0.9, "na\xc3')
    found = page(healthy)
    assert found.chart("loss")[0]["values"][5] is None
    assert found.chart("loss")[0]["steps"][-1] == 400
    assert "Output std × √d ∞ " in found.text
    assert "NaN effective rank" in found.text or "effective rank NaN" in found.text


def test_without_labels_or_pictures_the_rest_stands(healthy: Path, tmp_path: Path) -> None:
    names, _, points = clusters(40)
    points[3] = np.nan
    write_embeddings(healthy / "embeddings.parquet", names, [None] * 40, points)
    found = Page(write_report([healthy], tmp_path / "page.html", lambda run, name: None))
    assert "have the query's label" not in found.text
    assert not [t for t, a in found.tags if t == "figure" and a.get("class") in ("right", "wrong")]
    assert found.data["map"]["maps"][0]["classes"] == []
    assert set(found.data["map"]["tiles"]) == {-1}
    assert len(found.data["map"]["maps"][0]["x"]) == 39
    assert "1 more have an embedding that is zero or not finite" in found.text
    assert any(name in found.text for name in names)
    assert "data:image" not in found.html


def test_names_that_are_no_text_or_turn_the_writing_are_spelled_out(healthy: Path) -> None:
    write_lines(healthy / "bad_images.jsonl", [{"name": "a\udcff.jpg", "reason": "x"}, {"name": "\u202egpj.exe", "reason": "x"}])
    assert r"a\udcff.jpg x \u202egpj.exe x" in page(healthy).text


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("metrics.jsonl", b'{"step": 1}\nnonsense\n{"step": 2}\n', "metrics.jsonl: "),
        ("metrics.jsonl", b'{"loss": 1}\n', "metrics.jsonl: a record has no field 'step'"),
        ("evaluations.jsonl", b'{"protocol": "knn", "features": "random"}\n', "evaluations.jsonl: a record has no field 'top1'"),
        ("status.json", b"{", "status.json: "),
        ("bad_images.jsonl", b"[1]\n", "bad_images.jsonl: "),
        ("config.json", b"{}", "config.json: config: written in form None"),
    ],
)
def test_a_damaged_file_is_named(healthy: Path, name: str, content: bytes, message: str) -> None:
    (healthy / name).write_bytes(content)
    with pytest.raises(UserError, match=re.escape(message)):
        page(healthy)


def test_what_cannot_be_asked_is_refused(healthy: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no run here"):
        write_report([tmp_path / "nowhere"], tmp_path / "page.html")
    with pytest.raises(UserError, match="at least one"):
        write_report([], tmp_path / "page.html")
    with pytest.raises(UserError, match="named twice"):
        write_report([healthy, tmp_path / "x" / ".." / "healthy"], tmp_path / "page.html")
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written"):
        write_report([healthy], tmp_path / "file" / "page.html")
