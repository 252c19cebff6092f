"""Promise 5: it says when it collapses, why probably, and exits accordingly; and it does not cry wolf."""

import json
from pathlib import Path

import pytest

from stopgrad.cli import main
from stopgrad.monitor.verdict import COLLAPSED_STD

TINY = ["net.width=8", "net.zero_init_residual=false", "optim.lr=0.2"]


def pretrain(out: Path, *more: str) -> int:
    sets = [word for value in (*TINY, *more) for word in ("--set", value)]
    return main(["pretrain", "bundled", "--recipe", "demo", "--epochs", "4", "--out", str(out), "--device", "cpu", *sets])


@pytest.mark.whole
def test_without_stop_gradient_it_stops_and_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = pretrain(tmp_path / "run", "method.stop_gradient=false", "train.on_collapse=stop", "train.log_every=1")
    said = capsys.readouterr()
    assert status == 3
    assert "method.stop_gradient=true" in said.err
    records = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    verdict = json.loads((tmp_path / "run" / "status.json").read_text())["verdict"]
    assert verdict["state"] == "collapsed"
    stds = [r["std"] for r in records]
    low = next(i for i in range(10, len(stds)) if sum(stds[i - 10 : i]) / 10 < COLLAPSED_STD)  # it falls in leaps: ten steps, not one
    assert records[-1]["step"] <= low + 100  # within 100 steps of its happening
    assert records[-1]["loss"] < -0.8
    assert min(r["std"] for r in records) < COLLAPSED_STD
    assert not (tmp_path / "run" / "backbone.safetensors").exists()
    assert pretrain(tmp_path / "run", "method.stop_gradient=false", "train.on_collapse=stop", "train.log_every=1") == 3  # again: still so


@pytest.mark.whole
def test_with_stop_gradient_there_is_no_false_alarm(tmp_path: Path) -> None:
    assert pretrain(tmp_path / "run", "train.on_collapse=stop") == 0
    assert json.loads((tmp_path / "run" / "status.json").read_text())["verdict"]["state"] == "healthy"


@pytest.mark.whole
def test_a_loss_that_is_not_finite_stops_before_the_update(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert pretrain(tmp_path / "run", "optim.lr=1e30", "train.checkpoint_seconds=0") == 4
    assert "step " in capsys.readouterr().err
    status = json.loads((tmp_path / "run" / "status.json").read_text())
    assert status["state"] == "failed"
