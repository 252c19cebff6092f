"""The same in Python: a folder, arrays, a backbone of one's own; what comes out fits together."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from torch import nn

import stopgrad
from stopgrad.config.protocols import Knn, Lbfgs
from stopgrad.errors import UserError
from stopgrad.runs import RunDirectory, read_lines

pytestmark = pytest.mark.whole

SMALL: dict[str, Any] = {
    "net.backbone": "resnet10",
    "net.stem": "small",
    "net.width": 8,
    "method.projector": (32, 32),
    "method.predictor_hidden": 8,
    "views.size": 16,
    "data.size": 16,
    "train.batch": 16,
    "train.epochs": 2,
}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes that colour tells apart, in folders."""
    root, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for name, colour in (("red", (200, 40, 40)), ("blue", (40, 40, 200))):
        (root / name).mkdir()
        for i in range(40):
            pixels = np.clip(rng.normal(colour, 30, (20 + i % 3, 18, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{i:02d}.png")
    return root


@pytest.fixture(scope="module")
def run(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "photos"
    outcome = stopgrad.pretrain(photos, out, settings=SMALL, device="cpu")
    assert (outcome.state, outcome.step) == ("finished", 2 * (72 // 16))
    return out


def test_the_run_directory_says_what_it_was(run: Path) -> None:
    status = json.loads((run / "status.json").read_text())
    assert status["state"] == "finished"
    assert status["images"] == {"used": 72, "bad": 0}  # a tenth of each class is held out
    assert any("mean and std measured" in line for line in status["chosen"])
    records = read_lines(run / "metrics.jsonl")
    assert records[-1]["step"] == 8
    assert {"loss", "lr", "std", "alignment", "gap", "rank", "uniformity", "knn", "images_per_second", "waiting"} <= records[-1].keys()
    environment = json.loads((run / "environment.json").read_text())
    assert environment["versions"]["torch"] == torch.__version__.split("+")[0]
    assert len(environment["images_sha256"]) == 64


def test_judging_appends_a_record_a_protocol_and_kind(run: Path) -> None:
    records = stopgrad.evaluate(run, (Knn(k=5), Lbfgs()), device="cpu")
    assert [(r["features"], r["protocol"]) for r in records] == [(k, p) for k in ("pixels", "random", "backbone") for p in ("knn", "lbfgs")]
    assert all(r["test_images"] == 8 and r["train_images"] == 72 for r in records)
    assert records[0]["top1"] == 1.0  # the colours tell the classes apart
    weights = {r["features"]: r["weights_sha256"] for r in records}
    assert weights["pixels"] is None
    assert weights["random"] != weights["backbone"]
    assert read_lines(run / "evaluations.jsonl")[-6:] == records


def test_embeddings_are_the_backbones_features(run: Path, photos: Path, tmp_path: Path) -> None:
    out, count = stopgrad.embed(run, photos, tmp_path / "e.parquet", device="cpu")
    table = pq.read_table(out).to_pydict()
    assert count == 80
    assert set(table["label"]) == {"red", "blue"}
    from stopgrad.images.pool import Pool
    from stopgrad.images.sources import open_splits
    from stopgrad.views.render import render
    from stopgrad.views.sample import centre

    settings = RunDirectory(run).read_config()
    source = open_splits(str(photos), "none").train
    row = list(source.names).index(table["path"][7])
    pool = Pool.from_arrays([source.read(row, settings.data)])
    params = centre(16, pool.heights, pool.widths, 224 / 256)
    x = render(pool, torch.tensor([0]), params, settings.data.mean, settings.data.std)
    with torch.no_grad():
        features = stopgrad.load_backbone(run)(x)[0]
    torch.testing.assert_close(torch.tensor(table["embedding"][7]), features, rtol=1e-4, atol=1e-5)


def test_the_report_is_made_of_these_files(run: Path, photos: Path, tmp_path: Path) -> None:
    stopgrad.embed(run, photos, device="cpu")
    page = stopgrad.write_report([run], tmp_path / "page.html").read_text()
    assert "data:image/" in page  # thumbnails found through the run's own source
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_arrays_and_a_backbone_of_ones_own(tmp_path: Path) -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 6, 3, 2)
            self.bn = nn.BatchNorm2d(6)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.bn(self.conv(x)).relu().mean(dim=(2, 3))

    images = np.random.default_rng(0).integers(0, 65535, (50, 12, 12), dtype=np.uint16)
    settings = {k: v for k, v in SMALL.items() if not k.startswith("net.")} | {"views.size": 8, "data.size": 8}
    out = tmp_path / "own"
    assert stopgrad.pretrain(images, out, settings=settings, backbone=Own(), device="cpu").state == "finished"
    assert RunDirectory(out).read_config().net.backbone == "module:Own"
    with pytest.raises(UserError, match="module of your own"):
        stopgrad.load_backbone(out)
    backbone = stopgrad.load_backbone(out, into=Own())
    assert backbone(torch.zeros(2, 1, 8, 8)).shape == (2, 6)
    with pytest.raises(UserError, match="judging needs labels"):
        stopgrad.evaluate(out, data=images, backbone=Own(), device="cpu")


def test_arrays_with_labels_train_the_labelled_baseline_and_judge_it(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(80) % 2
    images = (60 + 100 * labels[:, None, None] + rng.integers(-20, 20, (80, 12, 12))).astype(np.uint8)
    settings = {k: v for k, v in SMALL.items() if not k.startswith("method.")}
    out = tmp_path / "labelled"
    assert stopgrad.pretrain((images, labels), out, method="supervised", settings=settings, device="cpu").state == "finished"
    assert "accuracy" in read_lines(out / "metrics.jsonl")[-1]
    with pytest.raises(UserError, match=r"was trained on arrays, .* data=\(images, labels\), or stopgrad evaluate .* --data LABELLED"):
        stopgrad.evaluate(out, device="cpu")
    (record,) = stopgrad.evaluate(out, (Knn(k=5),), data=(images, labels), features=("pixels",), device="cpu")
    assert (record["top1"], record["train_images"], record["test_images"]) == (1.0, 72, 8)
    written, _ = stopgrad.embed(out, (images, labels), device="cpu")
    assert pq.read_table(written).to_pydict()["label"].count("1") == 40
    with pytest.raises(UserError, match="other images"):
        stopgrad.pretrain((images + 1, labels), out, method="supervised", settings=settings, device="cpu")


def test_a_run_starts_from_another(run: Path, photos: Path, tmp_path: Path) -> None:
    from stopgrad.nets.files import digest

    settings = SMALL | {"net.init": str(run), "optim.lr": 1e-12, "train.epochs": 1}
    stopgrad.pretrain(photos, tmp_path / "next", settings=settings, device="cpu")
    a, b = stopgrad.load_backbone(run), stopgrad.load_backbone(tmp_path / "next")
    for (name, x), (_, y) in zip(a.named_parameters(), b.named_parameters(), strict=True):
        torch.testing.assert_close(x, y, rtol=1e-4, atol=1e-6, msg=name)
    assert digest(a) != digest(b)  # BN statistics moved on
    with pytest.raises(UserError, match=r"net.init: the backbone of .* is not a resnet18"):
        stopgrad.pretrain(photos, tmp_path / "other", settings=settings | {"net.backbone": "resnet18"}, device="cpu")


def test_a_method_by_name(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "byol"
    stopgrad.pretrain(photos, out, method="byol", settings=SMALL | {"train.epochs": 1}, device="cpu")
    assert RunDirectory(out).read_config().recipe == "byol/images"
    stopgrad.pretrain(photos, tmp_path / "alike", method="byol", recipe="demo", settings=SMALL | {"train.epochs": 1}, device="cpu")
    run = RunDirectory(tmp_path / "alike").read_config()
    assert (run.recipe, run.method.name, run.data.channels, run.views[0].flip) == ("demo+byol", "byol", 1, 0.0)  # the demo's data and view


def test_no_labels_no_judging(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "unlabelled"
    stopgrad.pretrain(photos, out, labels="none", settings=SMALL | {"train.epochs": 1}, device="cpu")
    assert "knn" not in read_lines(out / "metrics.jsonl")[-1]
    with pytest.raises(UserError, match="judging needs labels"):
        stopgrad.evaluate(out, device="cpu")
    assert stopgrad.evaluate(out, (Knn(k=3),), data=photos, device="cpu")
