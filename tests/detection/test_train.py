"""Training: examples are functions of their place, an interrupted run ends in the same bits, rectangles are learned."""

import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from torch import nn

import stopgrad.detection.train as training
from stopgrad.checkpoint import load_checkpoint
from stopgrad.config.detection import DETECTION, Detection
from stopgrad.detection.coco import read_coco
from stopgrad.detection.examples import Colours, chosen, drawn, example, image_of, resized
from stopgrad.detection.models import detector
from stopgrad.detection.pictures import Picture
from stopgrad.detection.train import batches, precise_bn, sgd, train
from stopgrad.detection.voc import read_voc
from stopgrad.errors import Diverged, Interrupted, UserError
from stopgrad.nets.norm import batch_norms
from stopgrad.runs import read_lines
from tests.detection.made import TOY, coco, coco_record, rectangles, small, voc

CPU = torch.device("cpu")
GREY = Colours(3, (0.5,), (0.25,))


@pytest.fixture
def pictures(tmp_path: Path) -> tuple[Picture, ...]:
    return read_voc(voc(tmp_path / "data", {"trainval": rectangles(5, 0)}), ("trainval",)).pictures


def run(pictures: tuple[Picture, ...], settings: Detection, folder: Path, lines: list[str] | None = None) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    model = detector(small(), 2, settings)
    train(model, pictures, settings, GREY, folder, CPU, (lines if lines is not None else []).append)
    return model.state_dict()


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


def test_the_rate_of_an_iteration() -> None:
    settings = DETECTION["voc0712"]
    assert settings.lr_at(0) == pytest.approx(0.02 / 1000)
    assert settings.lr_at(50) == pytest.approx(0.02 * (0.001 * 0.5 + 0.5))
    assert [settings.lr_at(i) for i in (100, 17_999, 18_000, 21_999, 22_000, 23_999)] == pytest.approx([0.02, 0.02, 2e-3, 2e-3, 2e-4, 2e-4])
    assert DETECTION["small"].lr_at(60) == pytest.approx(0.02 * 2 / 16)
    assert DETECTION["coco-1x"].lr_at(500) == pytest.approx(0.02 * (0.001 + 0.999 * 0.5))


def test_the_published_schedules() -> None:
    """FACTS of the papers, once more by hand: a change of a number must be meant."""
    of = {name: (s.iterations, s.drops, s.warmup, s.batch, s.lr, s.short_sides[0], s.short_sides[-1], s.test_side) for name, s in DETECTION.items()}
    assert of["voc07"] == (9000, (6750, 8250), 100, 16, 0.02, 480, 800, 800)
    assert of["voc0712"] == (24000, (18000, 22000), 100, 16, 0.02, 480, 800, 800)
    assert of["coco-1x"] == (90000, (60000, 80000), 1000, 16, 0.02, 640, 800, 800)
    assert of["coco-2x"] == (180000, (120000, 160000), 1000, 16, 0.02, 640, 800, 800)
    assert DETECTION["voc0712"].train == ("2007/trainval", "2012/trainval")
    assert all(s.proposals(False) == (6000, 1000) and s.weight_decay == 1e-4 and s.detections == 100 for s in list(DETECTION.values())[:4])
    assert all(len(s.short_sides) == 1 + (s.short_sides[-1] - s.short_sides[0]) // 32 for s in DETECTION.values())


def test_biases_are_decayed_and_bn_is_not() -> None:
    model = detector(small(), 2, TOY)
    decayed, others = sgd(model, TOY).param_groups
    norms = {id(p) for m in model.modules() if isinstance(m, nn.BatchNorm2d) for p in m.parameters()}
    assert {id(p) for p in others["params"]} == norms
    assert (decayed["weight_decay"], others["weight_decay"]) == (1e-4, 0.0)
    assert any(p.ndim == 1 for p in decayed["params"])
    assert len(decayed["params"]) + len(others["params"]) == len(list(model.parameters()))


def test_every_image_comes_once_an_epoch() -> None:
    rows = [row for iteration in range(5) for row in chosen(0, 5, 2, iteration)]
    assert sorted(rows[:5]) == sorted(rows[5:]) == list(range(5))
    assert rows[:5] != rows[5:]
    assert chosen(0, 5, 2, 3) == rows[6:8]


def test_sizes_and_sides() -> None:
    assert resized(375, 500, 800, 1333) == (800, 1067)
    assert resized(500, 375, 800, 1333) == (1067, 800)
    assert resized(100, 1000, 800, 1333) == (133, 1333)
    seen = {drawn(TOY, iteration, position) for iteration in range(20) for position in range(2)}
    assert seen == {(side, mirrored) for side in TOY.short_sides for mirrored in (True, False)}


def test_boxes_go_with_the_image(pictures: tuple[Picture, ...]) -> None:
    """The rectangle's colour stands where its box is, mirrored or not, at every size."""
    for iteration in range(6):
        image, target = example(pictures[0], TOY, GREY, iteration, 0)
        left, top, right, bottom = (round(v) for v in target["boxes"][0].tolist())
        inside = image[:, top + 3 : bottom - 3, left + 3 : right - 3].mean((1, 2))
        strongest = 2 if int(target["labels"][0]) == 1 else 0  # blue is class 0, label 1
        assert inside.argmax() == strongest
        assert inside.max() > 1
        assert image[:, : max(top - 4, 1), :].amax() < 1 or top < 6


def test_masks_go_with_their_boxes(tmp_path: Path) -> None:
    part = read_coco(coco(tmp_path, coco_record(), coco_record()), "train2017", masks=True)
    settings = replace(TOY, masks=True)
    for iteration in range(6):
        image, target = example(part.pictures[0], settings, GREY, iteration, 0)
        mask = target["masks"][0]
        assert mask.shape == image.shape[1:]
        rows, columns = (torch.nonzero(mask.any(axis))[:, 0] for axis in (1, 0))
        corners = [int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1]
        assert corners == pytest.approx(target["boxes"][0].tolist(), abs=1.5)


def test_crowds_are_not_learned(tmp_path: Path) -> None:
    record = coco_record()
    record["annotations"][0]["iscrowd"] = 1
    part = read_coco(coco(tmp_path, record, record), "train2017", masks=False)
    assert len(example(part.pictures[0], TOY, GREY, 0, 0)[1]["boxes"]) == 0


def test_an_image_is_normalised_as_its_backbone_wants(pictures: tuple[Picture, ...]) -> None:
    plain = image_of(pictures[0], Colours(3, (0.0,), (1.0,)), (48, 64))
    assert np.allclose(plain.numpy(), pictures[0].pixels(3) / 255, atol=1e-6)
    other = image_of(pictures[0], Colours(3, (0.1, 0.2, 0.3), (0.5, 0.25, 1.0)), (48, 64))
    assert torch.allclose(other[1], (plain[1] - 0.2) / 0.25, atol=1e-5)
    assert image_of(pictures[0], Colours(1, (0.5,), (0.25,)), (48, 64)).shape == (1, 48, 64)


def test_batches_are_the_same_wherever_they_begin(pictures: tuple[Picture, ...]) -> None:
    whole = list(batches(pictures, TOY, GREY, range(4)))
    rest = list(batches(pictures, TOY, GREY, range(2, 4)))
    for (images, targets), (again, theirs) in zip(whole[2:], rest, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(images, again, strict=True))
        assert all(same(a, b) for a, b in zip(targets, theirs, strict=True))


class Killed(Exception):
    """Stands for whatever ends a process between two iterations."""


def killed_at(iteration: int, patch: pytest.MonkeyPatch) -> None:
    real = training._step

    def step(*given: object) -> dict[str, float]:
        if given[5] == iteration:
            raise Killed
        return real(*given)  # type: ignore[arg-type]

    patch.setattr(training, "_step", step)


@pytest.mark.parametrize("architecture", ["C4", "FPN"])
def test_a_resumed_training_ends_in_the_same_bits(
    architecture: Literal["C4", "FPN"], pictures: tuple[Picture, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(TOY, architecture=architecture)
    whole = run(pictures, settings, tmp_path / "whole")
    with monkeypatch.context() as patch:
        killed_at(3, patch)
        with pytest.raises(Killed):
            run(pictures, settings, tmp_path / "parts")
    lines: list[str] = []
    parts = run(pictures, settings, tmp_path / "parts", lines)
    assert lines[0] == "resuming at iteration 2 of 4"
    assert same(whole, parts)
    assert read_lines(tmp_path / "whole" / "losses.jsonl") == read_lines(tmp_path / "parts" / "losses.jsonl") != []
    first, second = (load_checkpoint(tmp_path / name / "checkpoints") for name in ("whole", "parts"))
    assert first is not None
    assert second is not None
    assert same(first.tensors, second.tensors)
    assert any(name.startswith("momentum.") for name in first.tensors)


def test_a_signal_is_obeyed_after_the_iteration(pictures: tuple[Picture, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = training._step

    def step(*given: object) -> dict[str, float]:
        os.kill(os.getpid(), signal.SIGTERM)
        return real(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(training, "_step", step)
    with pytest.raises(Interrupted, match="interrupted at iteration 1 of 4, saved; the same command goes on"):
        run(pictures, TOY, tmp_path / "run")
    saved = load_checkpoint(tmp_path / "run" / "checkpoints")
    assert saved is not None
    assert saved.step == 1


def test_a_loss_that_is_not_finite_stops_it(pictures: tuple[Picture, ...], tmp_path: Path) -> None:
    with pytest.raises(Diverged, match=r"iteration \d: the loss .* is not finite; nothing of it was saved.*--set lr="):
        run(pictures, replace(TOY, lr=1e30, warmup=0), tmp_path / "run")


def test_an_image_that_cannot_be_read_is_named_in_training(pictures: tuple[Picture, ...], tmp_path: Path) -> None:
    pictures[2].path.write_bytes(b"no image")
    with pytest.raises(UserError, match=r"trainval_002\.jpg: cannot be read"):
        run(pictures, TOY, tmp_path / "run")


def test_a_checkpoint_of_another_detector_is_refused(pictures: tuple[Picture, ...], tmp_path: Path) -> None:
    run(pictures, TOY, tmp_path / "run")
    with pytest.raises(UserError, match="its checkpoint is of another detector"):
        run(pictures, replace(TOY, architecture="FPN"), tmp_path / "run")


def test_precise_bn_is_the_mean_over_batches(pictures: tuple[Picture, ...]) -> None:
    torch.manual_seed(1)
    model = detector(small(), 2, TOY)
    bn = model.trunk.stages[0].bn1  # type: ignore[union-attr,index]
    assert isinstance(bn, nn.BatchNorm2d)
    seen: list[torch.Tensor] = []
    hook = bn.register_forward_hook(lambda module, given, out: seen.append(given[0].double()))
    precise_bn(model, pictures, TOY, GREY, CPU)
    hook.remove()
    assert len(seen) == TOY.precise_bn // TOY.batch
    assert torch.allclose(bn.running_mean.double(), torch.stack([x.mean((0, 2, 3)) for x in seen]).mean(0), atol=1e-6)
    assert torch.allclose(bn.running_var.double(), torch.stack([x.transpose(0, 1).flatten(1).var(1) for x in seen]).mean(0), rtol=1e-5)
    assert {other.momentum for other in batch_norms(model)} == {0.1}
    state = {name: value.clone() for name, value in model.state_dict().items()}
    precise_bn(model, pictures, TOY, GREY, CPU)
    assert same(state, model.state_dict())
    precise_bn(model, pictures, replace(TOY, precise_bn=0), GREY, CPU)
    assert same(state, model.state_dict())
