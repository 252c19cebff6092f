"""Promise 3: killed at any instant, a run ends byte-identical to an undisturbed one."""

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from stopgrad.checkpoint import load_checkpoint
from stopgrad.config import Run
from stopgrad.methods import Task, initialise
from stopgrad.monitor import Listeners
from stopgrad.runs import RunDirectory, read_lines
from stopgrad.train import Outcome, pretrain
from tests.golden.runs import IMAGES, images


class Killed(BaseException):
    """Stands for a kill: nothing in the program may handle it."""


def train(run: Run, path: Path, kill_at: int | None = None) -> Outcome:
    directory = RunDirectory(path)
    directory.create()
    if not directory.exists():
        directory.write_config(run)

    def step(step: int, steps: int) -> None:
        if step == kill_at:
            raise Killed

    method = initialise(run, Task(IMAGES, run.train.batch, 3))
    return pretrain(run, method, images(), directory, torch.device("cpu"), Listeners(step=step))


def final_state(path: Path) -> str:
    newest = max((path / "checkpoints").glob("step-*"))
    return hashlib.sha256((newest / "state.safetensors").read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.conftest import toy_run

    path = tmp_path_factory.mktemp("undisturbed") / "run"
    assert train(toy_run(epochs=2, batch=12), path).state == "finished"
    return path


@pytest.mark.parametrize("kills", [(1,), (5,), (6,), (9, 10), (2, 3, 7, 10)], ids=str)
def test_a_killed_run_ends_as_an_undisturbed_one(toy: Run, undisturbed: Path, tmp_path: Path, kills: tuple[int, ...]) -> None:
    run = replace(toy, train=replace(toy.train, epochs=2, batch=12, checkpoint_seconds=0.0))
    for at in kills:
        with pytest.raises(Killed):
            train(run, tmp_path / "run", kill_at=at)
    assert train(run, tmp_path / "run").state == "finished"
    assert final_state(tmp_path / "run") == final_state(undisturbed)
    steps = [r["step"] for r in read_lines(tmp_path / "run" / "metrics.jsonl")]
    assert steps == [r["step"] for r in read_lines(undisturbed / "metrics.jsonl")]


@pytest.mark.parametrize("damaged", ["state.safetensors", "manifest.json"])
def test_a_torn_newest_checkpoint_costs_time_only(toy: Run, undisturbed: Path, tmp_path: Path, damaged: str) -> None:
    run = replace(toy, train=replace(toy.train, epochs=2, batch=12, checkpoint_seconds=0.0))
    with pytest.raises(Killed):
        train(run, tmp_path / "run", kill_at=7)
    newest = max((tmp_path / "run" / "checkpoints").glob("step-*")) / damaged
    newest.write_bytes(newest.read_bytes()[:-5])
    assert train(run, tmp_path / "run").state == "finished"
    assert final_state(tmp_path / "run") == final_state(undisturbed)


def test_another_seed_ends_elsewhere(toy: Run, undisturbed: Path, tmp_path: Path) -> None:
    train(replace(toy, train=replace(toy.train, epochs=2, batch=12, seed=1)), tmp_path / "run")
    assert final_state(tmp_path / "run") != final_state(undisturbed)


def folder_of_images(path: Path, count: int = 48) -> Path:
    rng = np.random.default_rng(0)
    for i in range(count):
        (path / f"part{i % 3}").mkdir(parents=True, exist_ok=True)
        side = (16 + i % 5, 20 - i % 4)
        Image.fromarray(rng.integers(0, 255, (*side, 3), dtype=np.uint8)).save(path / f"part{i % 3}" / f"{i:03d}.png")
    return path


def command(images: Path, out: Path, *more: str) -> list[str]:
    small = ["net.backbone=resnet10", "net.stem=small", "net.width=8", "method.projector=32,32", "method.predictor_hidden=8", "views.size=16"]
    timing = ["train.threads=1", "train.checkpoint_seconds=0.05", "train.batch=16", "train.log_every=2", "train.keep=2"]
    sets = [word for value in (*small, *timing) for word in ("--set", value)]
    return [sys.executable, "-m", "stopgrad", "pretrain", str(images), "--labels", "none", "--epochs", "60", "--out", str(out), *sets, *more]


def weights(run: Path) -> str:
    return hashlib.sha256((run / "backbone.safetensors").read_bytes()).hexdigest()


@pytest.mark.whole
@pytest.mark.timeout(600)
def test_kill_9_at_random_and_the_same_command_again(tmp_path: Path) -> None:
    images = folder_of_images(tmp_path / "images")
    subprocess.run(command(images, tmp_path / "whole"), check=True, capture_output=True)
    rng, kills = random.Random(0), 0
    for _ in range(3):
        process = subprocess.Popen(command(images, tmp_path / "killed"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        metrics, before = tmp_path / "killed" / "metrics.jsonl", time.monotonic()
        seen = metrics.stat().st_size if metrics.exists() else 0
        while process.poll() is None and time.monotonic() - before < 60 and (not metrics.exists() or metrics.stat().st_size == seen):
            time.sleep(0.01)  # not before it has made some steps
        time.sleep(rng.uniform(0, 0.3))
        kills += process.poll() is None
        process.kill()
        process.wait()
    subprocess.run(command(images, tmp_path / "killed"), check=True, capture_output=True)
    assert kills >= 2
    assert weights(tmp_path / "killed") == weights(tmp_path / "whole")
    again = subprocess.run(command(images, tmp_path / "killed"), check=True, capture_output=True, text=True)
    assert "finished" in again.stdout


@pytest.mark.whole
def test_workers_change_nothing(tmp_path: Path) -> None:
    images = folder_of_images(tmp_path / "images")
    found = set()
    for workers in ("0", "2"):
        out = tmp_path / f"workers{workers}"
        subprocess.run(
            [*command(images, out, "--set", "data.residence=stream", "--epochs", "3"), "--workers", workers], check=True, capture_output=True
        )
        found.add(weights(out))
    assert len(found) == 1


@pytest.mark.whole
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_says_how_to_go_on(tmp_path: Path, number: signal.Signals) -> None:
    images = folder_of_images(tmp_path / "images")
    out = tmp_path / "run"
    process = subprocess.Popen(command(images, out, "--epochs", "2000"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    while not ((out / "metrics.jsonl").exists() and (out / "metrics.jsonl").stat().st_size):  # a step is done: the loop listens
        assert process.poll() is None
        time.sleep(0.05)
    os.kill(process.pid, number)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 75, said
    assert "same command" in said
    saved = load_checkpoint(out / "checkpoints")
    assert saved is not None
    assert saved.step > 0
