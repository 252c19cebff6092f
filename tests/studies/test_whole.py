"""stopgrad study from the command line to the table, at toy size: what is shared, what a kill leaves, and every study once."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from stopgrad.cli import main
from stopgrad.config.detection import DETECTION
from stopgrad.runs import read_lines
from stopgrad.studies.catalogue import STUDIES
from stopgrad.studies.study import Study
from tests.detection.made import rectangles, voc

DETECTOR: dict[str, Any] = {"iterations": 2, "short_sides": (64,), "test_side": 64, "max_side": 128, "precise_bn": 2}
PARTS = {"trainval": rectangles(3, 0), "test": rectangles(2, 1)}
TOY = ["net.width=4", "views.size=8", "data.size=8", "train.precision=fp32"]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for name, colour in (("red", (200, 40, 40)), ("blue", (40, 40, 200))):
        (root / name).mkdir()
        for i in range(80):
            Image.fromarray(np.clip(rng.normal(colour, 30, (12, 12, 3)), 0, 255).astype(np.uint8)).save(root / name / f"{i:02d}.png")
    return root


def words(photos: Path, out: Path, *studies: str, batch: int = 16, more: tuple[str, ...] = ()) -> list[str]:
    settings = [w for s in TOY if s != "views.size=8" or "swav-crops" not in studies for w in ("--set", s)]
    shared = ["--data", str(photos), "--recipe", "demo", "--batch", str(batch), "--device", "cpu", "--out", str(out)]
    return ["study", *studies, *shared, *settings, *more]


def table(out: Path, study: str) -> list[dict[str, str]]:
    return list(csv.DictReader((out / f"{study}.csv").read_text().splitlines()))


@pytest.mark.slow
def test_two_studies_share_runs_and_a_second_call_does_nothing(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    asked = words(photos, out, "stop-gradient", "predictor", more=("--epochs", "1", "--seeds", "2"))
    assert main(asked) == 0
    said = capsys.readouterr().out
    assert "10 runs, 0 of them done already; training the others takes about" in said
    assert "10 of 10" in said
    assert len(list((out / "runs").glob("*/config.json"))) == 10
    rows = table(out, "stop-gradient")
    assert [(row["row"], row["seed"]) for row in rows] == [("with", "0"), ("with", "1"), ("without", "0"), ("without", "1")]
    for row in rows:
        judged = {r["protocol"]: r["top1"] for r in read_lines(out / row["run"] / "evaluations.jsonl") if r["features"] == "backbone"}
        assert {p: float(row[p]) for p in ("lbfgs", "knn")} == judged
        config = json.loads((out / row["run"] / "config.json").read_text())
        assert config["train"]["seed"] == int(row["seed"])
        assert config["method"]["stop_gradient"] is (row["row"] == "with")
    assert {row["run"] for row in rows if row["row"] == "with"} == {row["run"] for row in table(out, "predictor") if row["row"] == "baseline"}
    record = json.loads((out / "results.json").read_text())["studies"]
    assert list(record) == ["stop-gradient", "predictor"]
    assert [v["finding"] for v in record["stop-gradient"]["rows"][1]["verdicts"]] == ["collapses", "below with"]
    before = (out / "predictor.md").read_bytes()
    assert main(asked) == 0
    assert "10 runs, 10 of them done already" in capsys.readouterr().out
    assert (out / "predictor.md").read_bytes() == before
    assert main(["report", str(out)]) == 0
    assert "Does SimSiam collapse" in (out / "report.html").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("sign", ["checkpoints/step-*/manifest.json", "evaluations.jsonl"], ids=["training", "judging"])
def test_killed_in_the_middle_of_a_row_it_ends_with_the_same_table(sign: str, photos: Path, tmp_path: Path) -> None:
    more = ("--epochs", "6", "--jobs", "1", "--set", "train.checkpoint_seconds=0")
    disturbed, whole = tmp_path / "disturbed", tmp_path / "whole"
    command = [sys.executable, "-m", "stopgrad", *words(photos, disturbed, "similarity", more=more)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
        began = time.monotonic()
        while not list(disturbed.glob(f"runs/*/{sign}")) and time.monotonic() - began < 240:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    states = [json.loads(path.read_text())["state"] for path in disturbed.glob("runs/*/status.json")]
    assert states != ["finished", "finished"]
    assert not (disturbed / "similarity.csv").exists()
    for _ in range(100):  # what it started ends with it, and saves before
        status = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        if "another process is writing" not in status.stdout:
            break
        time.sleep(0.5)
    assert status.returncode == 0, status.stdout + status.stderr
    assert main(words(photos, whole, "similarity", more=more)) == 0
    assert (disturbed / "similarity.csv").read_bytes() == (whole / "similarity.csv").read_bytes()


@pytest.fixture
def in_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands of studies are carried out in this process, one after the other: what a row types is what is done."""

    def work(jobs, at_once, cores, tell, gpus=()):  # type: ignore[no-untyped-def]
        for job in jobs:
            for command in job.commands():
                assert main(list(command)) in (0, 4)
        return {}

    monkeypatch.setattr("stopgrad.studies.command.work", work)


@pytest.mark.slow
@pytest.mark.usefixtures("in_here")
@pytest.mark.parametrize("scale", ["gpu", "paper"])
def test_the_larger_scales_run_at_toy_size(scale: str, photos: Path, tmp_path: Path) -> None:
    toy = [w for s in ("net.width=4", "views.size=16", "data.size=16", "train.precision=fp32") for w in ("--set", s)]
    shared = ["--data", str(photos), "--backbone", "resnet10", "--epochs", "10", "--batch", "16", "--device", "cpu", "--out", str(tmp_path), *toy]
    for study, rows in (("comparison", ["simsiam", "simclr", "moco", "byol", "swav"]), ("predictor", ["baseline", "none"])):
        assert main(["study", study, "--scale", scale, *shared, "--rows", *rows]) == 0
        assert [row["row"] for row in table(tmp_path, study)] == rows
        assert all(0 <= float(row["knn"]) <= 1 for row in table(tmp_path, study))


@pytest.mark.slow
@pytest.mark.usefixtures("in_here")
@pytest.mark.parametrize("study", STUDIES.values(), ids=lambda s: s.name)
def test_every_study_runs_at_toy_size(study: Study, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DETECTION, "small", replace(DETECTION["small"], **DETECTOR))
    judged_on = voc(tmp_path / "VOC2007", PARTS) if study.name == "detection" else photos
    more = ("--epochs", "2", *(("--onto", f"d={judged_on}") if study.onto else ()))
    widest = any("8x" in name for name in study.rows_at("small"))
    smallest = any(name.startswith(("1/32", "batch 1/16")) for name in study.rows_at("small"))
    batch = 64 if smallest else 16
    assert main(words(photos, tmp_path, study.name, batch=16 if widest else batch, more=more)) == 0
    rows = table(tmp_path, study.name)
    figures = [figure["name"] for figure in json.loads((tmp_path / "results.json").read_text())["studies"][study.name]["figures"]]
    assert [row["row"] for row in rows] == list(study.rows_at("small"))
    for row in rows:
        assert row["monitor"] == "diverged" or all(0 <= float(row[figure]) <= 1 for figure in figures)
    assert main(["report", str(tmp_path)]) == 0


def test_data_that_cannot_be_judged_on_is_told_before_anything_is_trained(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    for i, image in enumerate(sorted(photos.rglob("*.png"))[:20]):
        (bare / f"{i}.png").write_bytes(image.read_bytes())
    for study, onto, said in (
        ("detection transfer", f"pets={photos}", "neither VOC's layout"),
        ("transfer", f"pets={bare}", "pets: "),
        ("transfer", f"voc07={photos}", "voc07"),
        ("detection", f"d={photos}", "neither VOC's layout"),
    ):
        assert main(words(photos, tmp_path / "out", *study.split(), more=("--epochs", "1", "--onto", onto))) == 2
        told = capsys.readouterr().err
        assert said in told
        assert told.count("\n") == 1
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("ended", "status"), [({}, 2), ({0: 75}, 75), ({0: 3, 1: 3}, 3)])
def test_the_exit_status_says_what_was_left_undone(
    ended: dict[int, int], status: int, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is trained here: runs that ended well but left no figures, a stop, and a failure."""
    monkeypatch.setattr("stopgrad.studies.command.work", lambda jobs, *_: {jobs[i]: code for i, code in ended.items()})
    monkeypatch.setattr("stopgrad.estimate.measured_rate", lambda *_: (100.0, None))
    assert main(words(photos, tmp_path, "similarity", more=("--epochs", "1"))) == status
    said = capsys.readouterr()
    assert ("figures are missing" in said.err) == (not ended)
    assert ("the same command goes on" in said.out) == (ended == {0: 75})


def test_what_can_be_known_without_torch_is_answered_without_it(photos: Path, tmp_path: Path) -> None:
    for asked, said in (
        (["study"], "name at least one; 'stopgrad study --list'"),
        (["study", "predictr"], "did you mean 'predictor'?"),
        (["study", "predictor", "--rows", "nonne"], "did you mean 'none'?"),
        (["study", "predictor", "--scale", "gpu"], "--scale gpu: needs images"),
        (["study", "predictor", "--set", "method.predictor=fixed"], "is what the row 'none' of predictor changes"),
        (["study", "transfer"], "as in --onto mine=PATH"),
        (["study", "transfer", "--onto", "pets=nowhere"], "nowhere"),
        (["study", "predictor", "--onto", f"pets={photos}"], "judged on the images trained on"),
        (["study", "predictor", "--data", str(tmp_path / "nothing")], "nothing"),
    ):
        script = f"import sys; from stopgrad.cli import main; status = main({asked!r}); assert 'torch' not in sys.modules; sys.exit(status)"
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=tmp_path)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert said in done.stderr
    assert not (tmp_path / "runs").exists()


def test_images_without_labels_are_refused(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study", "similarity", "--data", str(photos / "red"), "--out", str(tmp_path / "o")]) == 2
    assert "a study is judged by labels" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


def test_the_list_names_every_study(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study", "--list"]) == 0
    said = capsys.readouterr().out
    assert all(f"{study.question} ({study.source})" in said for study in STUDIES.values())
    assert len(said.splitlines()) == len(STUDIES)
