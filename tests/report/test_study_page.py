"""The page of studies: its numbers are those of results.json, its figure and map show what the rows say."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from stopgrad.config import to_json
from stopgrad.errors import UserError
from stopgrad.report.bars import Bar, bars
from stopgrad.report.heat import Cell, heat
from stopgrad.report.records import FORM, records
from stopgrad.report.study import write_studies
from tests.report.runs import make_config, make_metrics, write_lines


def row(name: str, top1: list[float | None], **changes: Any) -> dict[str, Any]:
    verdicts = [{"finding": "collapses", "outcome": "holds", "said": "2 of 2 runs <b>collapsed</b>"}]
    known = {
        "name": name,
        "recipe": "demo",
        "method": "simsiam",
        "before": {},
        "changes": {},
        "head": 0,
        "published": [None],
        "runs": [],
        "at_seeds": [0, 1],
    }
    return known | {"states": ["healthy"] * 2, "values": {"lbfgs": top1}, "std": [0.9, 1.0], "difference": None, "verdicts": verdicts} | changes


def record(**changes: Any) -> dict[str, Any]:
    apart = {"points": -10.25, "interval": [-12.0, -8.5], "images_told": True, "seeds": 2}
    without = row("without", [0.5, 0.51], states=["collapsed"] * 2, difference=apart, changes={"method.stop_gradient": "false"}, published=[0.1])
    known = {"study": "stop-gradient", "question": "Does it collapse?", "source": "the paper", "remark": "", "scale": "small", "about": "two cores"}
    known |= {
        "images": "bundled",
        "expected": "",
        "figures": [{"name": "lbfgs", "data": "", "protocol": "lbfgs", "metric": "top1"}],
        "untrained": [None],
        "seeds": 2,
        "reference": "with",
        "noise": 3.14,
        "test_images": 2000,
    }
    known |= {"random": {"lbfgs": [0.57, 0.58]}, "rows": [row("with", [0.81, 0.83], published=[67.7]), without], "correlations": [], "grid": None}
    made = {"date": "2026-11-22T00:00:00", "versions": {"torch": "2.15.0"}, "python": "3.12", "platform": "Linux", "cores": 2}
    return known | {"curves": False, "made": made, "command": "stopgrad study stop-gradient", "commands": ["stopgrad pretrain x"]} | changes


def written(folder: Path, *records: dict[str, Any]) -> str:
    (folder / "results.json").write_text(json.dumps({"form": FORM, "studies": {r["study"]: r for r in records}}))
    return write_studies(folder, folder / "report.html").read_text()


def words(html: str) -> str:
    return " ".join(re.sub(r"<(style|script).*?</\1>|<[^>]+>", " ", html, flags=re.S).split())


def test_the_numbers_are_those_of_the_record(tmp_path: Path) -> None:
    html = written(tmp_path, record())
    text = words(html)
    assert "with 82.0 ± 1.4 0.95 healthy 67.7" in text
    assert "without method.stop_gradient=false 50.5 ± 0.7 −10.2 (−12.0 to −8.5) 0.95 collapsed 0.1 collapses: holds" in text
    assert "Random initialisation 57.5 ± 0.7" in text
    assert "Of 2 findings 2 hold." in text
    assert "less than about 3.1 points may be chance" in text
    assert "&lt;b&gt;collapsed" in html, "what came from files is escaped"
    assert written(tmp_path, record()) == html, "the same file gives the same bytes"


def test_several_studies_are_one_page_with_curves_of_the_runs(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "simsiam-1-0"
    run.mkdir(parents=True)
    (run / "config.json").write_text(json.dumps(to_json(make_config())))
    write_lines(run / "metrics.jsonl", make_metrics(400, 20))
    curved = record(study="predictor", curves=True, rows=[row("with", [0.8, 0.8], runs=["runs/simsiam-1-0", "runs/simsiam-1-1"])])
    html = written(tmp_path, record(), curved)
    assert set(re.findall(r'<figure class="chart" data-key="([^"]+)"', html)) == {"predictor-loss", "predictor-std", "predictor-knn"}
    data = json.loads(re.findall(r'id="data">(.*?)</script>', html, flags=re.S)[0])
    assert {chart["key"] for chart in data["charts"]} == {"predictor-loss", "predictor-std", "predictor-knn"}
    assert '<a href="#predictor">' in html


@pytest.mark.parametrize(
    "text",
    [
        *("{", "null", "[]", '{"studies": {}}', f'{{"form": {FORM}}}', f'{{"form": {FORM}, "studies": []}}'),
        *(f'{{"form": {FORM}, "studies": {{"x": {inner}}}}}' for inner in ("{}", "null", '{"study": "x"}')),
    ],
)
def test_a_damaged_results_is_one_line_for_the_page_and_for_the_next_study(text: str, tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text(text)
    for reads in (lambda: write_studies(tmp_path, tmp_path / "x.html"), lambda: records(tmp_path / "results.json")):
        with pytest.raises(UserError, match=r"results\.json: is damaged.*; move it away"):
            reads()


@pytest.mark.parametrize(
    "spoiled",
    [
        *({"rows": []}, {"rows": [{}]}, {"rows": [1]}, {"figures": []}, {"figures": [{}]}, {"random": {}}, {"seeds": "2"}, {"made": None}),
        *({"rows": [row("with", [0.8]) | {"values": {"knn": [0.8]}}]}, {"rows": [row("with", [0.8]) | {"difference": 3}]}),
        *({"rows": [row("with", [0.8]) | spoiled]} for spoiled in ({"difference": {}}, {"verdicts": [{}]}, {"values": {"lbfgs": ["0.8"]}})),
    ],
)
def test_a_record_that_lacks_what_is_read_of_it_is_damaged(spoiled: dict[str, Any], tmp_path: Path) -> None:
    written(tmp_path, record())
    with pytest.raises(UserError, match=r"results\.json: is damaged; move it away"):
        written(tmp_path, record(**spoiled))


def test_results_of_another_version_and_of_no_study_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text('{"form": 2, "studies": []}')
    with pytest.raises(UserError, match="another version of stopgrad; move it away"):
        write_studies(tmp_path, tmp_path / "x.html")
    with pytest.raises(UserError, match="has no study"):
        written(tmp_path)


def test_bars_are_as_long_as_the_means_and_red_where_they_collapsed() -> None:
    drawn = str(
        bars([Bar("a", (0.8, 0.8), None, None, False), Bar("b", (0.4,), -40.0, (-45.0, -35.0), True), Bar("c", (), None, None, False)], 0.2, "t")
    )
    widths = [float(w) for w in re.findall(r'<rect class="\w+" [^>]*width="([\d.]+)"', drawn)]
    assert widths[0] == pytest.approx(2 * widths[1], abs=0.2)
    assert re.findall(r'<rect class="(\w+)"', drawn) == ["sound", "collapsed"]
    assert (drawn.count('class="difference"'), drawn.count('class="whisker"')) == (1, 2)
    assert "no accuracy" in drawn


def test_rows_without_any_difference_can_be_drawn() -> None:
    assert 'class="difference"' in bars([Bar("a", (0.5, 0.5), 0.0, (0.0, 0.0), False)], None, "t")
    assert 'class="zero"' not in bars([Bar("a", (0.5,), None, None, False)], None, "t")


def test_the_map_crosses_out_what_collapsed() -> None:
    cells = [Cell(0.1, 0.2, 0.8, False), Cell(0.4, 0.2, 0.5, True), Cell(0.1, 0.5, None, False)]
    drawn = str(heat(cells, ("optim.lr", "views.scale"), "t"))
    assert drawn.count('class="collapse"') == 1
    assert re.findall(r'class="x value"[^>]*>([^<]+)', drawn) == ["80.0", "50.0", "–"]
    opacity = [float(v) for v in re.findall(r"fill-opacity: ([\d.]+)", drawn)]
    assert opacity[0] > opacity[1]


def test_a_pair_stands_in_both_of_its_cells_in_the_order_of_the_rows(tmp_path: Path) -> None:
    rows = [row("crop", [0.8]), row("blur", [0.2]), row("crop + blur", [0.5], states=["collapsed"])]
    grid = {"fields": ["one", "other"], "mirrored": True, "at": {"crop": ["crop"] * 2, "blur": ["blur"] * 2, "crop + blur": ["crop", "blur"]}}
    html = written(tmp_path, record(study="composition", rows=rows, grid=grid, reference="crop"))
    drawn = html[html.index('<svg class="heat"') :]
    drawn = drawn[: drawn.index("</svg>")]
    assert re.findall(r'class="x" [^>]*>([^<]+)', drawn) == ["crop", "blur"]
    assert re.findall(r'class="y" [^>]*>([^<]+)', drawn) == ["crop", "blur"]
    cells = re.findall(r'class="x value" x="([\d.]+)" y="([\d.]+)">([^<]+)', drawn)
    assert sorted((float(y), float(x), value) for x, y, value in cells) == sorted(
        (50.0 + 40 * j, 142.0 + 92 * i, value) for i, j, value in ((0, 0, "80.0"), (1, 1, "20.0"), (0, 1, "50.0"), (1, 0, "50.0"))
    )
    assert drawn.count('class="collapse"') == 2
    assert "a pair stands in both of its cells" in html


def test_a_row_of_another_base_says_what_it_begins_with(tmp_path: Path) -> None:
    base = {"method": "simsiam", "before": {"train.epochs": "10", "optim.lr": "0.7"}}
    same = row("longer", [0.8, 0.8], changes={"train.epochs": "20"}, **base)
    moco = row("moco", [0.7, 0.7], recipe="demo", method="moco", before={"train.epochs": "10", "method.symmetric": "true"})
    published = row("byol", [0.7, 0.7], recipe="byol/imagenet-100", method="byol", before={"train.epochs": "10"}, changes={"method.momentum": "none"})
    text = words(written(tmp_path, record(reference="with", rows=[row("with", [0.8, 0.9], **base), same, moco, published])))
    assert "longer train.epochs=20 80.0" in text
    assert "moco moco, method.symmetric=true 70.0" in text
    assert "byol recipe byol/imagenet-100; method.momentum=none 70.0" in text


def test_correlations_say_how_sure_they_are_and_which_sign_is_the_good_one(tmp_path: Path) -> None:
    found = {"score": "uniformity", "of": "features", "expected": -1, "rho": -0.81, "interval": [-0.94, -0.47], "rows": 14}
    few = {"score": "rank", "of": "a batch of outputs", "expected": 1, "rho": 0.5, "interval": None, "rows": 4}
    text = words(written(tmp_path, record(correlations=[found, few])))
    assert "uniformity features lower -0.81 (-0.94 to -0.47) over 14 rows" in text
    assert "rank a batch of outputs higher +0.50 over 4 rows" in text
