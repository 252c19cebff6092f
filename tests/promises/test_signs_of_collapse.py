"""Promise 5 for the whole family: each method's own way to collapse, provoked in training and named rightly."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from stopgrad.config import Run
from stopgrad.methods import Task, initialise
from stopgrad.monitor import Listeners, Verdict
from stopgrad.monitor import verdict as verdict_of
from stopgrad.runs import RunDirectory
from stopgrad.train import pretrain
from tests.golden.runs import BATCH, IMAGES, images
from tests.toys import VIEW, toy_run

pytestmark = pytest.mark.whole


def ends(run: Run, folder: Path) -> tuple[str, Verdict]:
    method = initialise(run, Task(IMAGES, run.train.batch, 3))
    outcome = pretrain(run, method, images(), RunDirectory(folder), torch.device("cpu"), Listeners())
    return outcome.state, outcome.verdict


@pytest.mark.parametrize("name", ["simclr", "moco", "swav"])
def test_a_loss_that_stays_at_chance(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At an absurd temperature all outputs look equal: the loss is ln(2N − 1), ln(K + 1), ln K and stays there."""
    monkeypatch.setattr(verdict_of, "STUCK", replace(verdict_of.STUCK, after=100))  # 500 steps of patience would only take longer
    run = toy_run(name, epochs=30, batch=BATCH, on_collapse="stop")
    state, verdict = ends(replace(run, method=replace(run.method, temperature=1e4)), tmp_path)  # type: ignore[call-arg]
    assert state == "collapsed"
    assert "of the least that outputs which tell nothing apart can have" in verdict.text
    remedy = {"swav": "method.epsilon=0.03", "simclr": "optim.lr", "moco": "optim.lr"}[name]
    assert remedy in verdict.text


def test_keys_that_are_given_away(tmp_path: Path) -> None:
    """Views without any change: every key is recognised by its pixels, and nothing need be learned."""
    same = replace(VIEW, scale=(1.0, 1.0), ratio=(1.0, 1.0), flip=0.0, jitter_p=0.0)
    run = toy_run("moco-symmetric", epochs=60, batch=BATCH, on_collapse="stop")
    state, verdict = ends(replace(run, views=(same, same), method=replace(run.method, temperature=0.05, momentum=0.0)), tmp_path)  # type: ignore[call-arg]
    assert state == "collapsed"
    assert "every key is recognised" in verdict.text
    assert "MoCo Sec. 3.3" in verdict.text


@pytest.mark.parametrize(
    "change", [{"stop_gradient": False, "momentum": None}, {"predictor_hidden": None, "momentum": None}], ids=["gradient", "predictor"]
)
def test_byol_without_a_part(change: dict[str, object], tmp_path: Path) -> None:
    """Without the stop-gradient or the predictor, and without the momentum encoder, all outputs become one."""
    run = toy_run("byol", epochs=100, batch=BATCH, on_collapse="stop")
    run = replace(run, method=replace(run.method, **change), optim=replace(run.optim, lr=3.0))  # type: ignore[arg-type]
    state, verdict = ends(run, tmp_path)
    assert state == "collapsed"
    assert "nearly the same" in verdict.text
    assert ("stop_gradient=true" if "stop_gradient" in change else "predictor_hidden=4096") in verdict.text
