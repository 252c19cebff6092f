"""Whatever the files hold: nothing from outside becomes markup, the page loads nothing, gaps are said, damage is named."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest

from stopgrad.config import to_json
from stopgrad.errors import UserError
from stopgrad.report.page import write_report
from tests.report.reading import Page, change, page
from tests.report.runs import clusters, make_config, make_evaluation, make_metrics, picture, write_embeddings, write_lines

EVIL = ("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "</script><b>", "{{ 7 * 7 }}", "it's & <i>")


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
    assert "49" not in re.findall(r"Reproduce.*", found.text)[0].replace(str(run.parent), "")
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
    assert "stopgrad evaluate" not in text  # without a backbone it would fail
    assert "stopgrad embed" not in text
    assert f"stopgrad pretrain clothes --recipe small_images --out {empty}" in text
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
    assert "effective rank NaN of at most 256" in found.text


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
    assert "1 more has an embedding that is zero or not finite" in found.text
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
        (
            "evaluations.jsonl",
            b'{"protocol": "lbfgs", "features": "random", "top1": 1, "settings": {"l2": 0, "held_out_accuracy": {"0": 1}}}\n',
            "a penalty that is not above 0",
        ),
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
