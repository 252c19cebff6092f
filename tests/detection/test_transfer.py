"""Detection as a protocol: a line a start, resumable; what is refused before anything is trained; and that rectangles are learned."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from stopgrad.config.detection import DETECTION, Detection
from stopgrad.detection.annotated import open_annotated
from stopgrad.detection.transfer import Start, detect
from stopgrad.errors import UserError
from stopgrad.nets.files import digest
from stopgrad.runs import read_lines
from tests.detection.made import TOY, coco, coco_record, rectangles, small, start, voc
from tests.detection.test_train import Killed, killed_at

CPU = torch.device("cpu")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return voc(tmp_path / "VOC2007", {"trainval": [*rectangles(5, 0), []], "test": rectangles(3, 1)})


def lines_of(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in record.items() if key not in ("seconds", "date")} for record in records]


def test_a_line_of_evaluations(data: Path, tmp_path: Path) -> None:
    told: list[str] = []
    starts = {"random": start(seed=1), "backbone": start(seed=2)}
    records = list(detect(starts, data, TOY, tmp_path / "out", CPU, told.append))
    first, second = records
    assert (first["features"], second["features"], first["weights_sha256"]) == ("random", "backbone", digest(starts["random"].backbone))
    assert (first["protocol"], first["variant"], first["metric"], first["data"]) == ("detection", "toy C4", "ap", "VOC2007")
    assert first["scores"].keys() == {"box_ap", "box_ap50", "box_ap75"}
    assert first["value"] == first["scores"]["box_ap"]
    assert 0 <= first["value"] <= 1
    assert (first["train_images"], first["test_images"], first["classes"], first["interval"]) == (5, 3, 2, None)
    assert first["settings"]["average"] == "voc 11 points"
    assert first["settings"]["tuned_on"] == "nothing"
    assert (first["settings"]["lr"], first["settings"]["mean"]) == (0.02, [0.5])
    assert first["notes"] == ["VOC2007 trainval: 1 images without objects are not trained on"]
    assert told[0] == first["notes"][0]
    assert told[-1].startswith("backbone: AP ")
    assert json.loads(json.dumps(records)) == records
    assert [line["iteration"] for line in read_lines(tmp_path / "out" / "random" / "losses.jsonl")] == [4]


def test_done_is_done_and_the_rest_goes_on(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    starts = {"random": start(seed=1), "backbone": start(seed=2)}
    whole = list(detect(starts, data, TOY, tmp_path / "whole", CPU))
    parts = detect(starts, data, TOY, tmp_path / "parts", CPU)
    first = next(parts)
    with monkeypatch.context() as patch:
        killed_at(3, patch)
        with pytest.raises(Killed):
            next(parts)
    again = list(detect(starts, data, TOY, tmp_path / "parts", CPU))
    assert again[0] == first  # to the date: read, not made again
    assert lines_of(again) == lines_of(whole)


def test_another_question_is_not_mixed_into_a_folder(data: Path, tmp_path: Path) -> None:
    next(detect({"random": start()}, data, TOY, tmp_path / "out", CPU))
    for starts, settings, message in (
        ({"random": start()}, replace(TOY, lr=0.01, seed=1), r"was begun with another settings\.lr, settings\.seed; choose another --out"),
        ({"random": start(seed=5)}, TOY, "was begun with another weights_sha256"),
        ({"random": Start(small(), (0.4,), (0.25,))}, TOY, "was begun with another mean"),
    ):
        with pytest.raises(UserError, match=message):
            next(detect(starts, data, settings, tmp_path / "out", CPU))


def test_coco_with_masks(tmp_path: Path) -> None:
    folder = coco(tmp_path / "toys", coco_record(4), coco_record(3))
    (record,) = detect({"random": start()}, folder, replace(TOY, masks=True), tmp_path / "out", CPU)
    assert {"box_ap", "box_ap50", "box_ap75", "mask_ap", "mask_ap50", "mask_ap75"} <= record["scores"].keys()
    assert record["settings"]["average"] == "coco"


def test_what_cannot_work_is_refused_before_anything_is_trained(data: Path, tmp_path: Path) -> None:
    def refused(message: str, folder: Path, settings: Detection = TOY, starts: dict[str, Start] | None = None) -> None:
        with pytest.raises(UserError, match=message):
            next(detect(starts or {"random": start()}, folder, settings, tmp_path / "out", CPU))
        assert not (tmp_path / "out").exists()

    refused("VOC's boxes have no outlines; take --set masks=false", data, replace(TOY, masks=True))
    refused("neither VOC's layout .* nor COCO's", tmp_path / "nowhere")
    refused("no image has an object; a detector learns", voc(tmp_path / "a", {"trainval": [[]], "test": rectangles(1, 0)}))
    refused("no image has an object to be found", voc(tmp_path / "b", {"trainval": rectangles(1, 0), "test": [[]]}))
    unfit = Start(small("torchvision/vit_b_32", 64), (0.5,), (0.25,))
    refused("layers that are not one behind the other", data, TOY, {"random": start(), "backbone": unfit})


def test_classes_that_no_training_image_has_are_named(tmp_path: Path) -> None:
    folder = voc(tmp_path / "x", {"trainval": [[("red", (1, 1, 20, 20), 0)]], "test": [[("cat", (1, 1, 20, 20), 0), ("red", (30, 5, 50, 30), 0)]]})
    annotated = open_annotated(folder, TOY)
    assert annotated.notes == ("x test: no training image has cat, which count as never found",)
    assert annotated.train.classes == annotated.test.classes == ("cat", "red")
    assert annotated.train.pictures[0].labels.tolist() == [1]
    assert annotated.test.pictures[0].labels.tolist() == [0, 1]
    assert annotated.metric == "voc area"


@pytest.mark.parametrize(
    ("change", "message"),
    [({"lr": 0.0}, "detection: lr: above 0"), ({"batch": 0}, "detection: batch: at least 1"), ({"architecture": "C5"}, "'C5' is none of C4, FPN")],
)
def test_settings_that_cannot_be_meant(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        replace(DETECTION["small"], **change)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["C4", "FPN"])
def test_rectangles_are_learned(architecture: str, tmp_path: Path) -> None:
    folder = voc(tmp_path / "toys", {"trainval": rectangles(40, 0), "test": rectangles(20, 1)})
    settings = replace(
        TOY, name="rectangles", architecture=architecture, iterations=300, drops=(220, 270), warmup=30, batch=4, lr=0.08, regions=16, precise_bn=40
    )
    (record,) = detect({"random": start(width=16)}, folder, settings, tmp_path / "out", CPU)
    losses = [line["loss"] for line in read_lines(tmp_path / "out" / "random" / "losses.jsonl")]
    assert losses[-1] < losses[0] / 2
    assert record["scores"]["box_ap50"] > 0.3
