"""stopgrad compare: rows that are runs of their own, resumable one by one, and the table of what they reached."""

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stopgrad.beforehand import overrides_of
from stopgrad.cli import main, parser
from stopgrad.compare.results import Line, as_text, write
from stopgrad.compare.rows import Row, rows
from stopgrad.compare.work import work
from stopgrad.config import set_value
from stopgrad.recipes import RECIPES
from stopgrad.recipes.published import CIFAR10_CLASSES, published
from stopgrad.runs import read_lines

TINY = [
    *("net.backbone=resnet10", "net.width=4", "net.stem=small", "views.size=8", "data.size=8", "train.batch=16", "train.precision=fp32"),
    *("simsiam:method.projector=16,16", "byol:method.projector=16,8", "byol:method.predictor_hidden=8"),
]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for name, colour in (("red", (200, 40, 40)), ("blue", (40, 40, 200))):
        (root / name).mkdir()
        for i in range(30):
            Image.fromarray(np.clip(rng.normal(colour, 30, (12, 12, 3)), 0, 255).astype(np.uint8)).save(root / name / f"{i:02d}.png")
    return root


def words(photos: Path, out: Path, *more: str) -> list[str]:
    return [
        "compare",
        str(photos),
        "--methods",
        "simsiam",
        "byol",
        "--epochs",
        "1",
        "--out",
        str(out),
        *more,
        *(w for s in TINY for w in ("--set", s)),
    ]


@pytest.mark.whole
def test_the_table_and_what_is_done_again(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main(words(photos, out, "--seeds", "2")) == 0
    said = capsys.readouterr().out
    assert "4 of 4" in said
    assert "on 6 test images: between two runs" in said
    assert "knn: 10 neighbours" in said
    lines = {row["method"]: row for row in csv.DictReader((out / "comparison.csv").read_text().splitlines())}
    assert list(lines) == ["raw pixels", "random initialisation", "simsiam", "byol"]
    assert (lines["byol"]["batch"], lines["byol"]["momentum encoder"], lines["byol"]["epochs"], lines["byol"]["seeds"]) == ("16", "yes", "1", "2")
    for seed in (0, 1):
        judged = read_lines(out / f"byol-{seed}" / "evaluations.jsonl")
        assert {(r["features"], r["protocol"]) for r in judged} == {("backbone", "knn"), ("backbone", "lbfgs")}
        assert json.loads((out / f"byol-{seed}" / "config.json").read_text())["train"]["seed"] == seed
    of_file = [100 * next(r["top1"] for r in read_lines(out / f"byol-{s}" / "evaluations.jsonl") if r["protocol"] == "knn") for s in (0, 1)]
    assert lines["byol"]["knn"] == f"{np.mean(of_file):.1f} ± {np.std(of_file, ddof=1):.1f}"
    assert f"stopgrad pretrain {photos} --recipe images --method byol --out {out / 'byol-1'} --device auto" in (out / "comparison.md").read_text()

    before = (out / "byol-0" / "evaluations.jsonl").read_bytes()
    assert main(words(photos, out, "--seeds", "2")) == 0
    assert "4 of 4 rows are done already" in capsys.readouterr().out
    assert (out / "byol-0" / "evaluations.jsonl").read_bytes() == before

    changed = [w.replace("width=4", "width=5") for w in words(photos, out)]
    assert main(changed) == 2
    said = capsys.readouterr().err
    assert "holds another comparison (set: net.backbone=resnet10 net.width=4" in said
    assert "asked for net.backbone=resnet10 net.width=5" in said


def scripted(monkeypatch: pytest.MonkeyPatch, script: Callable[[Row], str]) -> None:
    """Let every command of a row be a Python script of its own."""
    monkeypatch.setattr("stopgrad.compare.work.executable", lambda words: [sys.executable, "-c", words[0]])
    monkeypatch.setattr(Row, "commands", lambda row: [(script(row),)])


def test_a_row_that_fails_is_named_and_the_others_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, lambda row: "print('boom'); raise SystemExit(4)" if row.method == "a" else "print('fine')")
    said: list[str] = []
    todo = rows("x", "demo", ["a", "b", "c"], 1, tmp_path, {}, [])
    failed = work(todo, 2, 2, said.append)
    assert {row.method: status for row, status in failed.items()} == {"a": 4}
    assert any("a-0 failed with status 4: boom" in line for line in said)
    assert any(line.startswith("2 of 3") for line in said)


def test_a_stop_lets_the_rows_save_and_begins_no_other(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys, threading\n"
        "from pathlib import Path\n"
        "import stopgrad.compare.work as work\n"
        "from stopgrad.compare.rows import Row, rows\n"
        "out = Path(sys.argv[1])\n"
        "wait = 'import signal,sys,time;from pathlib import Path;signal.signal(signal.SIGTERM, lambda *a: (Path(sys.argv[1]).touch(), sys.exit(75)));"
        "Path(sys.argv[2]).touch();time.sleep(60)'\n"
        "work.executable = lambda words: [sys.executable, '-c', wait, str(out / ('saved-' + words[0])), str(out / ('begun-' + words[0]))]\n"
        "Row.commands = lambda row: [(row.out.name,)]\n"
        "def stop():\n"
        "    import time\n"
        "    while not (out / 'begun-a-0').exists(): time.sleep(0.05)\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "threading.Thread(target=stop).start()\n"
        "failed = work.work(rows('x', 'demo', ['a', 'b'], 1, out, {}, []), 1, 1, print)\n"
        "print(sorted((r.method, s) for r, s in failed.items()))\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, timeout=60, check=True)
    assert "[('a', 75)]" in done.stdout
    assert (tmp_path / "saved-a-0").exists()
    assert not (tmp_path / "begun-b-0").exists()


def test_published_numbers_stand_beside_the_same_setting_only(tmp_path: Path) -> None:
    run = RECIPES["simsiam/cifar10"]()
    found = published(CIFAR10_CLASSES, 50_000, run)
    assert {(p.protocol, p.top1) for p in found} == {("knn", 90.4), ("linear", 91.8)}
    for path, value in (("net.backbone", "resnet34"), ("net.stem", "small"), ("net.width", "32"), ("train.epochs", "100"), ("train.batch", "256")):
        assert published(CIFAR10_CLASSES, 50_000, set_value(run, path, value)) == []
    assert published(CIFAR10_CLASSES, 10_000, run) == []
    moco = RECIPES["moco/cifar10"]()
    symmetric = {p.top1 for p in published(CIFAR10_CLASSES, 50_000, set_value(moco, "method.symmetric", "true"))}
    assert {p.top1 for p in published(CIFAR10_CLASSES, 50_000, moco)} == {88.7, 89.9}
    assert symmetric == {89.7, 89.9}
    line = Line("simsiam", ("512", "", "", "800"), {"knn": (0.9,), "lbfgs": (0.91,)}, "healthy", tuple(found))
    assert "90.4 knn; 91.8 linear" in "\n".join(as_text([line]))
    markdown, _ = write([line], "how it is read", ["stopgrad pretrain x"], tmp_path)
    assert "SimSiam paper, Fig. D.1" in markdown.read_text()
    assert "how it is read" in markdown.read_text()


def test_overrides_of_one_method() -> None:
    found = rows("x", "demo", ["em", "moco"], 1, Path("out"), {"epochs": "3"}, ["net.width=8", "em:optim.lr=0.7"])
    assert found[0].overrides == {"train.epochs": "3", "train.seed": "0", "net.width": "8", "optim.lr": "0.7"}
    assert found[1].overrides == {"train.epochs": "3", "train.seed": "0", "net.width": "8"}


def test_what_a_row_types_asks_for_what_it_holds() -> None:
    pairs = ["data.labels=none", "data.workers=-1", "train.on_collapse=stop", "views.scale=0.2,1", "net.init=a=b"]
    (row,) = rows("x y", "demo", ["byol"], 1, Path("out"), {"labels": "auto", "batch": "32", "device": "cpu"}, pairs)
    typed = parser().parse_args(row.pretrain)
    assert (typed.images, typed.recipe, typed.method, typed.out, typed.device) == ("x y", "demo", "byol", row.out, "cpu")
    assert overrides_of(vars(typed), typed.overrides) == row.overrides
    assert row.overrides["data.labels"] == "none"
    assert row.overrides["net.init"] == "a=b"


def test_mistakes_are_one_line(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(photos), "--set", "emm:optim.lr=1", "--out", str(tmp_path / "o")]) == 2
    assert "no method 'emm'" in capsys.readouterr().err
    for words in (["--labels", "none"], ["--set", "data.labels=none"]):
        assert main(["compare", str(photos), "--methods", "supcon", *words, "--out", str(tmp_path / "o")]) == 2
        assert "a comparison is judged by labels" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()
