"""What must hold on a CUDA device: the same views, losses and neighbours as on the CPU, and runs that repeat. ``make test-gpu``."""

import hashlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch

import stopgrad
from stopgrad.bench.trial import Trial
from stopgrad.config import METHODS, View
from stopgrad.config.protocols import Knn, Lbfgs
from stopgrad.config.run import Compile
from stopgrad.images.pool import Pool
from stopgrad.loader import Order, Resident
from stopgrad.methods import Task, initialise
from stopgrad.monitor import Listeners
from stopgrad.runs import RunDirectory, read_lines
from stopgrad.train import pretrain
from stopgrad.views.on_gpu import has_triton, render_on_gpu
from stopgrad.views.render import render, render_selected
from stopgrad.views.sample import sample, uniforms
from tests.golden.runs import BATCH, IMAGES, images
from tests.toys import TOYS, toy_run

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]

CUDA = "cuda:0"
"""With its index, as pick_device has it."""
STRONG = View(size=16, scale=(0.2, 1.0), flip=0.5, jitter=(0.4, 0.4, 0.4, 0.1), jitter_p=0.8, grey=0.2, blur=0.5, solarise=0.2)


@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
@pytest.mark.parametrize("ragged", [False, True], ids=["equal", "ragged"])
def test_views_are_those_of_the_cpu(channels: int, depth: type[np.generic], ragged: bool) -> None:
    rng = np.random.default_rng(0)
    sizes = [(24 + (i % 3 if ragged else 0), 20) for i in range(48)]
    arrays = [rng.integers(0, np.iinfo(depth).max, (channels, *size)).astype(depth) for size in sizes]  # type: ignore[type-var]
    pool, rows = Pool.from_arrays(arrays), torch.arange(len(arrays))
    view = STRONG if channels == 3 else replace(STRONG, jitter=(0.4, 0.4, 0.0, 0.0), grey=0.0)
    params = sample(view, uniforms(0, 1, 0, len(arrays)), pool.heights, pool.widths)
    here = render(pool, rows, params, (0.5,), (0.25,))
    there = render(pool.to(torch.device(CUDA)), rows, params, (0.5,), (0.25,)).cpu()
    torch.testing.assert_close(there, here, rtol=1e-3, atol=2e-3)


@pytest.mark.parametrize("policy", [None, "imagenet"])
def test_what_few_views_have_is_that_of_the_cpu(policy: Literal["imagenet"] | None) -> None:
    """AutoAugment's up to values that round to another of its 8 bits, since what it gets differs in the last of 24."""
    rng = np.random.default_rng(0)
    pool, rows = Pool.from_arrays([rng.integers(0, 256, (3, 24, 20), dtype=np.uint8) for _ in range(48)]), torch.arange(48)
    view = replace(STRONG, shared_crop=(0.3, 1.0), rotate=0.5, policy=policy, sobel=0.3, noise=0.5, cutout=0.5)
    params = sample(view, uniforms(0, 1, 0, 48, view.further), pool.heights, pool.widths)
    here = render(pool, rows, params, (0.5,), (0.25,))
    there = render(pool.to(torch.device(CUDA)), rows, params, (0.5,), (0.25,))
    assert there.is_contiguous(memory_format=torch.channels_last)
    apart = (there.cpu() - here).abs()
    assert apart.max() < 2e-3 if policy is None else apart.quantile(0.9) < 2e-3


@contextmanager
def never_waited_for() -> Iterator[None]:
    """Within, what makes the CPU wait for the GPU is an error: reading a value, or a copy from memory that is not pinned."""
    torch.cuda.synchronize()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch calls the mode a prototype
            torch.cuda.set_sync_debug_mode("error")
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.skipif(not has_triton(), reason="needs Triton and a C compiler")
@pytest.mark.parametrize("size", [16, 32, 64, 65, 96, 224])
@pytest.mark.parametrize("ragged", [False, True], ids=["equal", "ragged"])
def test_tritons_views_are_torchs_and_the_cpus(size: int, ragged: bool) -> None:
    """To 1e-5 of both; a view does not depend on what is rendered with it; and nothing waits for the GPU."""
    rng = np.random.default_rng(0)
    arrays = [rng.integers(0, 256, (3, 300 + i * ragged, 200 + 2 * i * ragged), dtype=np.uint8) for i in range(24)]
    pool, rows = Pool.from_arrays(arrays), torch.arange(len(arrays))
    params = sample(replace(STRONG, size=size), uniforms(0, 1, 0, len(arrays)), pool.heights, pool.widths)
    resident = pool.to(torch.device(CUDA))
    render_on_gpu(resident, rows, params, (0.5,), (0.25,))  # compiles
    with never_waited_for():
        views = render_on_gpu(resident, rows, params, (0.5,), (0.25,))
    assert views.is_contiguous(memory_format=torch.channels_last)
    for other in (render_selected(resident, rows, params, (0.5,), (0.25,)).cpu(), render(pool, rows, params, (0.5,), (0.25,))):
        torch.testing.assert_close(views.cpu(), other, rtol=0, atol=2e-5)
    some = torch.tensor([20, 3])
    assert torch.equal(render_on_gpu(resident, rows[some], params.rows(some), (0.5,), (0.25,)), views[some.to(CUDA)])


@pytest.mark.parametrize("mode", ["no", "reduce-overhead"])
@pytest.mark.parametrize("name", TOYS)
def test_a_step_never_waits_for_the_gpu(name: str, mode: Compile) -> None:
    """From the images of a batch to the slow copies; the first steps compile, record graphs and fill queues."""
    run, known = toy_run(name, compile=mode), images()
    trial = Trial(run, known.pool, IMAGES, torch.device(CUDA))
    assert known.labels is not None
    sent = Resident(known.pool, known.keep, torch.device(CUDA), known.labels % 2)
    trial.batches = sent.fetch(Order(0, IMAGES, BATCH).of_steps(0, 40))
    trial.make(12)
    with never_waited_for():
        trial.make(6)
    assert trial.at == 18


@pytest.mark.parametrize(
    ("name", "mode"),
    [*product(TOYS, ("default", "reduce-overhead")), ("simsiam", "max-autotune"), ("moco", "max-autotune")],  # it tries out kernels for minutes
)
def test_compiled_losses_are_those_without(name: str, mode: Compile, tmp_path: Path) -> None:
    """Through an epoch and the monitor's looks: graphs overwrite nothing that is still needed, and weights change where they lie."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    plain, compiled = losses(name, tmp_path / "plain", CUDA), losses(name, tmp_path / "compiled", CUDA, compile=mode)
    assert len(compiled) == len(plain)
    assert compiled[:3] == pytest.approx(plain[:3], rel=2e-3, abs=2e-3)


def test_parts_of_a_batch_do_not_share_a_graphs_memory(tmp_path: Path) -> None:
    """Gradients of the first part lie in it while the second is computed."""
    both = [losses("simsiam", tmp_path / mode, CUDA, accumulate=2, compile=mode)[:3] for mode in ("no", "reduce-overhead")]
    assert both[1] == pytest.approx(both[0], rel=2e-3, abs=2e-3)


def test_images_that_are_sent_ahead_arrive_whole(tmp_path: Path) -> None:
    """A run on images in RAM, copied while the step before computes, sees what one on resident images sees."""
    known, found = images(), []
    for pool in (known.pool, known.pool.to(torch.device(CUDA))):
        run = toy_run("simsiam", epochs=2, batch=BATCH, log_every=1)
        directory = RunDirectory(tmp_path / str(pool.device.type))
        fed = Resident(pool, known.keep, torch.device(CUDA), known.labels)
        pretrain(run, initialise(run, Task(IMAGES, BATCH, 3)), fed, directory, torch.device(CUDA), Listeners())
        found.append([r["loss"] for r in read_lines(directory.metrics)])
    assert found[0] == pytest.approx(found[1], rel=1e-3)


def supply(device: str) -> Resident:
    known = images()
    return Resident(known.pool.to(torch.device(device)), known.keep, torch.device(device), known.labels)


def losses(name: str, folder: Path, device: str, **train: object) -> list[float]:
    run = toy_run(name, epochs=1, batch=BATCH, log_every=1, **train)
    directory = RunDirectory(folder)
    pretrain(run, initialise(run, Task(IMAGES, BATCH, 3)), supply(device), directory, torch.device(device), Listeners())
    return [r["loss"] for r in read_lines(directory.metrics)]


@pytest.mark.parametrize("name", TOYS)
def test_the_first_losses_are_those_of_the_cpu(name: str, tmp_path: Path) -> None:
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    here, there = losses(name, tmp_path / "cpu", "cpu"), losses(name, tmp_path / "cuda", CUDA)
    assert there[:2] == pytest.approx(here[:2], rel=2e-3, abs=2e-3)


@pytest.mark.parametrize("name", TOYS)
def test_bf16_stays_finite_and_near(name: str, tmp_path: Path) -> None:
    here, there = losses(name, tmp_path / "cpu", "cpu"), losses(name, tmp_path / "cuda", CUDA, precision="bf16")
    assert there[0] == pytest.approx(here[0], rel=0.1, abs=0.1)


@pytest.mark.parametrize("name", ["simsiam", "moco", "swav-queue"])
def test_a_deterministic_run_repeats_bit_for_bit(name: str, tmp_path: Path) -> None:
    settings = {"train.epochs": 1, "train.batch": 500, "train.deterministic": True, "net.width": 8, "train.log_every": 1}
    method = name.partition("-")[0]
    for out in ("a", "b"):
        stopgrad.pretrain("bundled", tmp_path / out, method=method, recipe="demo", settings=settings, device=CUDA)
    digests = {hashlib.sha256((tmp_path / out / "backbone.safetensors").read_bytes()).hexdigest() for out in ("a", "b")}
    assert len(digests) == 1


def test_a_compiled_run_learns_and_is_judged_as_on_the_cpu(tmp_path: Path) -> None:
    settings = {"train.epochs": 2, "train.batch": 500, "train.compile": "default"}
    outcome = stopgrad.pretrain("bundled", tmp_path / "run", recipe="demo", settings=settings, device=CUDA)
    assert outcome.state == "finished"
    config = RunDirectory(tmp_path / "run").read_config()
    assert config.data.residence == "device"
    there = stopgrad.evaluate(tmp_path / "run", (Knn(), Lbfgs()), features=("backbone",), device=CUDA)
    here = stopgrad.evaluate(tmp_path / "run", (Knn(), Lbfgs()), features=("backbone",), device="cpu")
    for a, b in zip(there, here, strict=True):
        assert a["top1"] == pytest.approx(b["top1"], abs=0.005)


@pytest.mark.parametrize("name", METHODS)
def test_streamed_images_train_too(name: str, tmp_path: Path) -> None:
    settings = {"train.epochs": 1, "train.batch": 1000, "data.residence": "stream", "net.width": 8}
    assert stopgrad.pretrain("bundled", tmp_path / "run", method=name, recipe="demo", settings=settings, device=CUDA).state == "finished"
