"""Runs on views of the compiled kernels learn what runs on the reference's views learn, within the noise of seeds."""

import statistics
from pathlib import Path

import pytest

import stopgrad
from stopgrad.config.protocols import Knn
from stopgrad.views import fused
from stopgrad.views.render import render_selected

SEEDS, EPOCHS = (0, 1, 2), 3


def accuracies(out: Path) -> list[float]:
    """Return kNN's top-1 after a few epochs of the demo's images, a seed each."""
    found = []
    for seed in SEEDS:
        run = out / str(seed)
        settings = {"train.seed": seed, "train.epochs": EPOCHS, "train.threads": 1}
        stopgrad.pretrain("bundled", run, recipe="demo", settings=settings, listeners=stopgrad.Listeners())
        (record,) = stopgrad.evaluate(run, (Knn(),), features=("backbone",))
        found.append(record["top1"])
    return found


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_fast_path_and_the_reference_learn_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fast = accuracies(tmp_path / "fast")
    monkeypatch.setattr(fused, "render_fused", render_selected)
    slow = accuracies(tmp_path / "reference")
    print(f"\nkNN, seeds {SEEDS}: kernels {fast}, reference {slow}")
    noise = statistics.stdev(fast) + statistics.stdev(slow)
    assert abs(statistics.fmean(fast) - statistics.fmean(slow)) < max(noise, 0.015)  # 0.015: two standard errors on 2,000 test images
