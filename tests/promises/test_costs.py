"""A run costs what its steps cost: memory does not grow with time, time grows with images and epochs and nothing else."""

import gc
import itertools
import statistics
import time
from pathlib import Path

import numpy as np
import pytest

import stopgrad

STEPS = 10_000
SETTINGS = {
    "net.backbone": "resnet10",
    "net.stem": "small",
    "net.width": 4,
    "views.size": 8,
    "data.size": 8,
    "method.projector": (16, 16),
    "method.predictor_hidden": 4,
    "train.batch": 8,
    "train.threads": 1,
    "train.precision": "fp32",
}


def resident() -> float:
    """Return the memory of this process, MB."""
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(fields["VmRSS"].split()[0]) / 1024


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read as Linux tells it")
def test_memory_and_the_time_of_a_step_stay_the_same_over_10_000_steps(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 255, (80, 10, 10, 3), dtype=np.uint8)
    seen: list[tuple[int, float, float]] = []

    def look(step: int, steps: int) -> None:
        if step % 500 == 0:
            gc.collect()
            seen.append((step, resident(), time.process_time()))

    settings = SETTINGS | {"train.epochs": STEPS // 10, "train.checkpoint_seconds": 5}
    stopgrad.pretrain(images, tmp_path / "run", settings=settings, listeners=stopgrad.Listeners(step=look))
    memory = [mb for _, mb, _ in seen]
    taken = [after - before for (_, _, before), (_, _, after) in itertools.pairwise(seen)]
    print(f"\nMB every 500 steps: {' '.join(f'{mb:.0f}' for mb in memory)}; ms a step: {' '.join(f'{2 * t:.2f}' for t in taken)}")
    assert seen[-1][0] == STEPS
    assert max(memory[2:]) - memory[1] < 10
    assert statistics.median(taken[-5:]) < 1.3 * statistics.median(taken[:5])


@pytest.mark.slow
def test_time_is_that_of_the_steps_whatever_the_images(tmp_path: Path) -> None:
    """Twice the images for as many steps, and as many images for twice the steps."""
    rng, taken = np.random.default_rng(0), {}
    for name, count, epochs in (("once", 2000, 4), ("images", 4000, 2), ("steps", 2000, 8)):
        images = rng.integers(0, 255, (count, 10, 10, 3), dtype=np.uint8)
        outcome = stopgrad.pretrain(images, tmp_path / name, settings=SETTINGS | {"train.epochs": epochs}, listeners=stopgrad.Listeners())
        taken[name] = (outcome.steps, outcome.seconds)
    print(f"\nsteps and seconds: {taken}")
    assert taken["images"][0] == taken["once"][0] == taken["steps"][0] / 2
    assert 0.7 < taken["images"][1] / taken["once"][1] < 1.4
    assert 1.5 < taken["steps"][1] / taken["once"][1] < 2.7
