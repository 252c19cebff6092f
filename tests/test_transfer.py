import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from stopgrad.config import Data
from stopgrad.config.protocols import Knn, Lbfgs
from stopgrad.config.transfer import METRICS, DataSet, Svm, data_set, data_sets
from stopgrad.config.tuning import FINETUNE, SEMI, Finetune
from stopgrad.errors import UserError
from stopgrad.judging import Folder
from stopgrad.nets.backbones import wrap
from stopgrad.nets.classifier import load_classifier
from stopgrad.protocols.features import Pixels
from stopgrad.runs import read_lines
from stopgrad.transfer.judged import Candidate, transfer
from stopgrad.transfer.rows import transfer_table
from tests.images.test_voc import annotation

CPU = torch.device("cpu")
DATA = Data(source="", channels=3, mean=(0.5,) * 3, std=(0.25,) * 3, size=8, short_side=None)
LBFGS = Lbfgs(l2=(1.0, 0.1))


def quiet(line: str) -> None:
    """Nobody listens."""


def folder(root: Path, seed: int, classes: int = 3, images: int = 12) -> Path:
    """Images of classes that differ in colour, a train and a test part."""
    rng = np.random.default_rng(seed)
    for part in ("train", "test"):
        for k in range(classes):
            (root / part / f"class{k}").mkdir(parents=True)
            for i in range(images):
                pixels = np.clip(rng.normal(80 + 40 * (np.arange(3) == k % 3), 40, (8, 8, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(root / part / f"class{k}" / f"{i}.png")
    return root


def voc(root: Path) -> Path:
    for below in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (root / below).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for i in range(40):
        red, blue = i % 2, i % 3 == 0
        objects = [("cat", 0)] * red + [("dog", 0)] * blue
        pixels = np.clip(rng.normal([80 + 90 * red, 80, 80 + 90 * blue], 30, (8, 8, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(root / f"JPEGImages/{i:06}.png")
        (root / f"Annotations/{i:06}.xml").write_text(annotation(*objects))
    (root / "ImageSets/Main/trainval.txt").write_text("".join(f"{i:06}\n" for i in range(24)))
    (root / "ImageSets/Main/test.txt").write_text("".join(f"{i:06}\n" for i in range(24, 40)))
    return root


@pytest.fixture
def candidates() -> dict[str, Candidate]:
    """A network with weights, and none."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = wrap(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()), 3, 8)
    return {"pixels": Candidate(Pixels(3, 8, side=2), DATA), "backbone": Candidate(network, DATA, 7)}


@pytest.fixture
def sets(tmp_path: Path) -> list[DataSet]:
    return [
        DataSet(name="pets", path=str(folder(tmp_path / "a", 0)), metric="mean_per_class"),
        DataSet(name="other", path=str(folder(tmp_path / "b", 1))),
    ]


def judged(candidates: dict[str, Candidate], sets: list[DataSet], tmp_path: Path, **changes: Any) -> list[dict[str, Any]]:
    return transfer(candidates, sets, **{"settings": LBFGS, "records": tmp_path / "evaluations.jsonl", "device": CPU, "tell": quiet} | changes)


def test_every_candidate_on_every_data_set_by_its_metric(candidates: dict[str, Candidate], sets: list[DataSet], tmp_path: Path) -> None:
    records = judged(candidates, sets, tmp_path)
    assert [(r["data"], r["features"], r["metric"], r["step"]) for r in records] == [
        ("pets", "pixels", "mean_per_class", 0),
        ("pets", "backbone", "mean_per_class", 7),
        ("other", "pixels", "top1", 0),
        ("other", "backbone", "top1", 7),
    ]
    assert read_lines(tmp_path / "evaluations.jsonl") == records == json.loads(json.dumps(records))
    assert all(r["value"] > 0.4 for r in records)
    assert records[0]["images_sha256"] == records[1]["images_sha256"]
    assert records[0]["settings"]["tuned_on"] == "l2 by mean_per_class on 6 training images held out"


def test_what_is_there_is_not_computed_again(candidates: dict[str, Candidate], sets: list[DataSet], tmp_path: Path) -> None:
    told: list[str] = []
    first = judged(candidates, sets[:1], tmp_path)
    assert judged(candidates, sets, tmp_path, tell=told.append)[:2] == first
    assert sum("judged already" in line for line in told) == 2
    assert len(read_lines(tmp_path / "evaluations.jsonl")) == 4
    begun = judged(candidates, sets, tmp_path)
    assert len(read_lines(tmp_path / "evaluations.jsonl")) == 4
    alone = tmp_path / "alone"
    alone.mkdir()
    wanted = [{key: value for key, value in r.items() if key not in ("date", "seconds")} for r in judged(candidates, sets, alone)]
    assert [{key: value for key, value in r.items() if key not in ("date", "seconds")} for r in begun] == wanted


@pytest.mark.parametrize(
    "change",
    [
        lambda c, s: (c, s, Lbfgs(l2=(1.0,))),
        lambda c, s: (c, [replace(s[0], metric="top1")], LBFGS),
        lambda c, s: ({name: replace(one, data=replace(one.data, size=6)) for name, one in c.items()}, s, LBFGS),
    ],
    ids=["settings", "metric", "size"],
)
def test_what_was_asked_otherwise_is_computed(
    change: Callable[..., Any], candidates: dict[str, Candidate], sets: list[DataSet], tmp_path: Path
) -> None:
    judged(candidates, sets[:1], tmp_path)
    others, other_sets, settings = change(candidates, sets[:1])
    judged(others, other_sets, tmp_path, settings=settings)
    assert len(read_lines(tmp_path / "evaluations.jsonl")) == 4


def test_other_weights_and_images_are_computed(candidates: dict[str, Candidate], sets: list[DataSet], tmp_path: Path) -> None:
    judged(candidates, sets[:1], tmp_path)
    with torch.no_grad():
        next(candidates["backbone"].featuriser.parameters()).add_(0.1)
    judged(candidates, sets[:1], tmp_path)
    assert len(read_lines(tmp_path / "evaluations.jsonl")) == 3  # pixels have no weights
    next(Path(sets[0].path).rglob("0.png")).unlink()
    judged(candidates, sets[:1], tmp_path)
    assert len(read_lines(tmp_path / "evaluations.jsonl")) == 5


def test_images_of_equal_names_and_sizes_are_not_taken_for_each_other(candidates: dict[str, Candidate], tmp_path: Path) -> None:
    """Neither by what was judged nor by what was kept: uncompressed images of two folders have equal names and bytes, as many as there are."""
    for name, seed in (("a", 0), ("b", 1)):
        for png in folder(tmp_path / name, seed).rglob("*.png"):
            Image.open(png).save(png.with_suffix(".bmp"))
            png.unlink()
    here, there = ([DataSet(name="mine", path=str(tmp_path / name))] for name in "ab")
    place = Folder(tmp_path, None)
    first, second = (judged(candidates, sets, tmp_path, folder=place) for sets in (here, there))
    assert first[0]["images_sha256"] == second[0]["images_sha256"]
    assert len(read_lines(tmp_path / "evaluations.jsonl")) == 4
    assert [r["per_class"] for r in second] == [r["per_class"] for r in judged(candidates, there, tmp_path, records=tmp_path / "plain.jsonl")]
    assert len(list((tmp_path / "features").iterdir())) == 8


def test_features_are_kept_for_the_next_protocol(
    candidates: dict[str, Candidate], sets: list[DataSet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Folder(tmp_path, None)
    plain = judged(candidates, sets, tmp_path)
    kept = judged(candidates, sets, tmp_path, records=tmp_path / "kept.jsonl", folder=place)
    assert [r["value"] for r in kept] == [r["value"] for r in plain]
    assert len(list((tmp_path / "features").iterdir())) == 8

    def never(*asked: object) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr("stopgrad.protocols.cache.features", never)
    judged(candidates, sets, tmp_path, settings=Svm(costs=(1.0,)), folder=place)
    judged(candidates, sets, tmp_path, settings=Knn(k=5), folder=place)


def test_voc_is_judged_beside_others(candidates: dict[str, Candidate], sets: list[DataSet], tmp_path: Path) -> None:
    voc07 = DataSet(name="voc07", path=str(voc(tmp_path / "VOC2007")), metric="map11")
    for settings in (Svm(costs=(1.0, 10.0)), LBFGS):
        records = judged(candidates, [sets[0], voc07], tmp_path, settings=settings)
        assert [r["metric"] for r in records] == ["mean_per_class"] * 2 + ["map11"] * 2
        assert all(r["value"] > 0.8 and r["top1"] is None for r in records[2:])
        assert (records[2]["train_images"], records[2]["test_images"], records[2]["classes"]) == (24, 16, 2)


def test_voc_is_fine_tuned_beside_others(candidates: dict[str, Candidate], sets: list[DataSet], tmp_path: Path) -> None:
    """By the metric of the data set, which chooses too; killed within a grid it goes on, and what is done is not done again."""
    voc07 = DataSet(name="voc07", path=str(voc(tmp_path / "VOC2007")), metric="map11")
    settings = Finetune(name="toy", nesterov=True, lr=(0.1, 0.3), lr_rule="fixed", batch=12, epochs=(8,), scale=(0.8, 1.0))
    place, network = Folder(tmp_path, None), {"backbone": candidates["backbone"]}
    told: list[str] = []

    def dying(line: str) -> None:
        told.append(line)
        if "voc07, backbone: finetune (toy): 2/2" in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        judged(network, [sets[0], voc07], tmp_path, settings=settings, folder=place, tell=dying)
    (cells,) = (tmp_path / "tuning").rglob("cells.jsonl")
    assert [list(line) for line in read_lines(cells)] == [["lr", "weight_decay", "epochs", "map11"]] * 2
    records = judged(network, [sets[0], voc07], tmp_path, settings=settings, folder=place, tell=told.append)
    assert [(r["data"], r["metric"]) for r in records] == [("pets", "mean_per_class"), ("voc07", "map11")]
    assert records[1]["value"] > 0.8
    assert records[1]["top1"] is None
    assert records[1]["settings"]["tuned_on"] == "lr by map11 on 5 of the labelled training images held out"
    assert list((tmp_path / "tuning").iterdir()) == []
    own = candidates["backbone"].featuriser.net
    kept = [load_classifier(tmp_path / record["classifier"], copy.deepcopy(own)) for record in records]
    assert [one.outputs for one in kept] == ["softmax", "sigmoid"]
    assert judged(network, [sets[0], voc07], tmp_path, settings=settings, folder=place) == records
    other = tmp_path / "undisturbed"
    other.mkdir()
    undisturbed = judged(network, [voc07], other, settings=settings, folder=Folder(other, None))
    differ = ("date", "seconds")
    assert [{k: v for k, v in r.items() if k not in differ} for r in undisturbed] == [{k: v for k, v in records[1].items() if k not in differ}]
    assert (other / records[1]["classifier"]).read_bytes() == (tmp_path / records[1]["classifier"]).read_bytes()


def test_mistakes_are_told_before_anything_is_computed(candidates: dict[str, Candidate], sets: list[DataSet], tmp_path: Path) -> None:
    unlabelled = tmp_path / "c"
    unlabelled.mkdir()
    Image.new("RGB", (8, 8)).save(unlabelled / "1.png")
    voc07 = str(voc(tmp_path / "VOC2007"))
    for wrong, settings, reason in (
        (DataSet(name="c", path=str(unlabelled)), LBFGS, "c: .*judging needs labels"),
        (DataSet(name="d", path=str(tmp_path / "nowhere")), LBFGS, "d: .*no such folder"),
        (DataSet(name="v", path=voc07), Knn(k=5), "v: knn: needs one class an image"),
        (DataSet(name="v", path=voc07), SEMI["small-1"], "v: semi: needs one class an image"),
        (DataSet(name="v", path=voc07, metric="top1"), FINETUNE["small"], "v: finetune: top1 is no metric of images that may show several"),
        (DataSet(name="v", path=voc07), replace(FINETUNE["small"], smoothing=0.1), "v: finetune .small.: smoothing: is for images of one class each"),
        (DataSet(name="v", path=voc07, metric="top1"), LBFGS, "v: lbfgs: top1 is no metric of images that may show several"),
        (replace(sets[0], metric="map"), LBFGS, "pets: lbfgs: map is no metric of images that have one class each"),
    ):
        with pytest.raises(UserError, match=reason):
            judged(candidates, [sets[1], wrong], tmp_path, settings=settings)
    assert not (tmp_path / "evaluations.jsonl").exists()


def test_few_images_allow_fewer_neighbours(candidates: dict[str, Candidate], sets: list[DataSet], tmp_path: Path) -> None:
    """A fifth of them at most, as where a set is judged alone."""
    records = judged(candidates, sets, tmp_path, settings=Knn())
    assert {r["settings"]["k"] for r in records} == {36 // 5}
    assert {tuple(r["notes"]) for r in records} == {("knn: k is 7 instead of 200, a fifth of the 36 training images",)}


def test_images_that_cannot_be_read_are_left_out_and_noted(candidates: dict[str, Candidate], sets: list[DataSet], tmp_path: Path) -> None:
    whole = (tmp_path / "a" / "test" / "class0" / "0.png").read_bytes()
    (tmp_path / "a" / "test" / "class0" / "1.png").write_bytes(whole[:30])
    records = judged(candidates, sets, tmp_path)
    assert [r["notes"][:1] for r in records if r["data"] == "pets"] == [["1 of the 36 test images cannot be read, and are left out"]] * 2
    assert not any("cannot be read" in line for r in records if r["data"] == "other" for line in r["notes"])


def test_the_table() -> None:
    def record(features: str, data: str, value: float, metric: str = "top1") -> dict[str, Any]:
        settings = {"tuned_on": f"l2 by {metric} on 9 training images held out"}
        return {
            "protocol": "lbfgs",
            "features": features,
            "data": data,
            "value": value,
            "metric": metric,
            "interval": [value - 0.02, value + 0.02],
            "settings": settings,
        }

    records = [
        record("random", "pets", 0.5, "mean_per_class"),
        record("backbone", "pets", 0.1, "mean_per_class"),
        record("random", "food", 0.25),
        record("backbone", "food", 0.75),
        record("backbone", "pets", 0.625, "mean_per_class"),  # judged again
        record("supervised", "food", 0.9),
    ]
    assert transfer_table(records) == [
        "lbfgs                  pets  food  mean",
        "---------------------  ----  ----  ----",
        "random initialisation  50.0  25.0  37.5",
        "trained backbone       62.5  75.0  68.8",
        "supervised                   90.0",
        "",
        "mean per class accuracy: pets; top-1: food",
        "chosen: l2 by mean_per_class on 9 training images held out (the numbers differ by data set); "
        "the widest 95 % interval is that of random on pets: 48.0-52.0",
    ]
    assert transfer_table(records[:1])[:3] == ["lbfgs                  pets", "---------------------  ----", "random initialisation  50.0"]


def test_names_bring_their_metrics() -> None:
    assert len(METRICS) == 12
    assert data_set("/data/Oxford/pets") == DataSet(name="pets", path="/data/Oxford/pets", metric="mean_per_class")
    assert data_set("CIFAR-10=/c=d") == DataSet(name="CIFAR-10", path="/c=d", metric="top1")
    assert data_set("VOC07=/v").metric == "map11"
    assert data_set("VOC07:map=/v").metric == "map"
    assert data_set("pets:top1=/p") == DataSet(name="pets", path="/p", metric="top1")
    assert data_set("mine=/m").metric is None
    for wrong, reason in (
        ("a:best=/x", "no metric 'best'; there are top1, mean_per_class, map11, map"),
        ("a=", "needs a path"),
        ("=x", "needs a path"),
    ):
        with pytest.raises(UserError, match=f"--data {wrong}: {reason}"):
            data_set(wrong)
    with pytest.raises(UserError, match="--data: a names two data sets"):
        data_sets(["/x/a", "/y/a"])
    with pytest.raises(UserError, match="name at least one"):
        data_sets([])
