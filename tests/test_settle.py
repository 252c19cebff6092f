"""What a run leaves to the machine is settled when it begins, and kept: it decides how sums round."""

import hashlib
import json
import signal
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
import torch

import stopgrad
from stopgrad import settle
from stopgrad.config import Run
from stopgrad.errors import UserError
from stopgrad.methods import initial_backbone
from stopgrad.monitor import Listeners

CPU = torch.device("cpu")


@pytest.fixture
def four_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    monkeypatch.setattr(settle, "cores", lambda: 4)


def pretend(monkeypatch: pytest.MonkeyPatch, alone: float, together: float) -> list[int]:
    """Let a step take ``alone`` seconds on one thread and ``together`` on more; return the threads that steps were made with, as they come."""
    now, made = [4], []

    def seconds(self: object) -> float:
        made.append(now[0])
        return alone if now[0] == 1 else together if now[0] == 4 else 0.99 * alone

    monkeypatch.setattr(torch, "set_num_threads", lambda n: now.__setitem__(0, n))
    monkeypatch.setattr("stopgrad.settle._Step.seconds", seconds)
    return made


@pytest.mark.parametrize(("alone", "together", "taken"), [(1.0, 0.6, 4), (1.0, 0.95, 1), (1.0, 5.0, 1)], ids=["quiet", "no gain", "company"])
@pytest.mark.usefixtures("four_threads")
def test_what_is_faster_is_taken(toy: Run, monkeypatch: pytest.MonkeyPatch, alone: float, together: float, taken: int) -> None:
    made = pretend(monkeypatch, alone, together)
    assert settle.settle_threads(toy, initial_backbone(toy), CPU) == taken
    assert {1, 2, 4} == set(made)


@pytest.mark.usefixtures("four_threads")
def test_what_is_asked_for_is_not_measured(toy: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    made = pretend(monkeypatch, 1.0, 0.1)
    asked = replace(toy, train=replace(toy.train, threads=3))
    assert settle.settle_threads(asked, initial_backbone(asked), CPU) == 3
    assert settle.settle_threads(toy, initial_backbone(toy), torch.device("cuda")) == 0
    assert made == []


@pytest.mark.usefixtures("four_threads")
@pytest.mark.parametrize(("workers", "threads"), [(-1, 2), (1, 3), (8, 1)])
def test_workers_that_decode_take_cores(toy: Run, monkeypatch: pytest.MonkeyPatch, workers: int, threads: int) -> None:
    made = pretend(monkeypatch, 1.0, 0.1)
    streamed = replace(toy, data=replace(toy.data, residence="stream", workers=workers))
    assert settle.settle_threads(streamed, initial_backbone(streamed), CPU) == threads
    assert made == []


@pytest.mark.usefixtures("four_threads")
def test_processes_share_the_cores(toy: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    assert settle.settle_threads(toy, initial_backbone(toy), CPU) == 4  # said so by who started them
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert settle.settle_threads(toy, initial_backbone(toy), CPU) == 2


def test_measuring_leaves_everything_as_it_was(toy: Run) -> None:
    before, random, backbone = torch.get_num_threads(), torch.get_rng_state(), initial_backbone(toy)
    torch.set_rng_state(random)
    state = {name: value.clone() for name, value in backbone.state_dict().items()}
    torch.set_num_threads(2)
    try:
        assert settle.settle_threads(toy, backbone, CPU) in (1, 2)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(value, state[name]) for name, value in backbone.state_dict().items())


def run_bundled(out: Path, epochs: int, stop_at: int | None = None) -> str:
    """Train for a few steps, interrupted after ``stop_at`` of them; return the digest of the backbone file, if there is one."""

    def step(step: int, steps: int) -> None:
        if step == stop_at:
            signal.raise_signal(signal.SIGTERM)

    settings = {"train.epochs": epochs, "train.batch": 1000, "net.width": 4, "train.monitor_every": epochs}
    stopgrad.pretrain("bundled", out, recipe="demo", labels="none", settings=settings, listeners=Listeners(step=step))
    backbone = out / "backbone.safetensors"
    return hashlib.sha256(backbone.read_bytes()).hexdigest() if backbone.exists() else ""


def test_a_run_keeps_its_threads_and_gives_them_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Begun with two threads and resumed where there is one, it ends as the undisturbed one, byte for byte."""
    monkeypatch.setattr("stopgrad.api.settle_threads", lambda run, backbone, device: run.train.threads or 2)
    before = torch.get_num_threads()
    undisturbed = run_bundled(tmp_path / "a", 1)
    assert run_bundled(tmp_path / "b", 1, stop_at=4) == ""
    torch.set_num_threads(1)
    try:
        monkeypatch.setattr("stopgrad.api.settle_threads", lambda run, backbone, device: pytest.fail("a run settles its threads once"))
        assert run_bundled(tmp_path / "b", 1) == undisturbed
    finally:
        torch.set_num_threads(before)
    assert json.loads((tmp_path / "b" / "config.json").read_text())["train"]["threads"] == 2


@pytest.mark.parametrize(("stem", "size", "wrong"), [("small", 8, True), ("small", 16, False), ("cifar", 8, False), ("imagenet", 16, True)])
def test_bf16_is_not_taken_where_torch_computes_it_wrongly(
    toy: Run, monkeypatch: pytest.MonkeyPatch, stem: Literal["imagenet", "cifar", "small"], size: int, wrong: bool
) -> None:
    """The gradient of a strided convolution over one pixel has outer taps of whatever lies in memory."""
    monkeypatch.setattr("stopgrad.settle.pick_precision", lambda asked, device: "bf16")
    views = tuple(replace(view, size=size) for view in toy.views)
    run = replace(toy, net=replace(toy.net, stem=stem), views=views, train=replace(toy.train, precision="auto"))
    backbone = initial_backbone(run).train()
    assert settle.settle_precision(run, backbone, CPU) == ("fp32" if wrong else "bf16")
    assert backbone.training
    assert settle.settle_precision(run, backbone, torch.device("cuda")) == "bf16"
    asked = replace(run, train=replace(run.train, precision="bf16"))
    if wrong:
        with pytest.raises(UserError, match=r"single pixel.*views\.size"):
            settle.settle_precision(asked, backbone, CPU)
    else:
        assert settle.settle_precision(asked, backbone, CPU) == "bf16"


def test_a_gpu_that_is_too_small_is_named_with_what_takes_less(toy: Run) -> None:
    run = toy
    with (
        pytest.raises(UserError, match=rf"no room for batches of {run.train.batch} \(CUDA out of memory\); .*train.accumulate=2\)"),
        settle.memory_named(run),
    ):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has ...")
