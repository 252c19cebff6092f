"""Detectors trained in two processes are those of one; killed, they go on, in as many processes or in another number; one writes."""

import json
from pathlib import Path

import pytest
import torch
from torchvision.models.detection._utils import BalancedPositiveNegativeSampler

from stopgrad.checkpoint import load_checkpoint
from stopgrad.detection.sampling import Sampler
from stopgrad.runs import read_lines
from tests.detection.made import coco, coco_record, rectangles, voc
from tests.detection.processes import run
from tests.launched import torchrun


def state(folder: Path) -> dict[str, torch.Tensor]:
    saved = load_checkpoint(folder / "backbone" / "checkpoints")
    assert saved is not None
    assert saved.step == 4
    return saved.tensors


def assert_alike(one: Path, other: Path) -> None:
    ours, theirs = state(one), state(other)
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, rtol=1e-4, atol=1e-5, msg=lambda said, name=name: f"{name}: {said}")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return voc(tmp_path / "data", {"trainval": rectangles(6, 0), "test": rectangles(5, 1)})


@pytest.mark.whole
@pytest.mark.parametrize("masks", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_two_processes_are_one(masks: bool, data: Path, tmp_path: Path) -> None:
    if masks:
        data = coco(tmp_path / "coco", coco_record(6), coco_record(5))
    names = ("C4-masks", "FPN-masks") if masks else ("C4", "FPN")
    torchrun(2, "tests.detection.processes", str(data), str(tmp_path / "two"), *names)
    for name in names:
        alone = run(name, data, tmp_path / "one")
        assert_alike(tmp_path / "two" / name, tmp_path / "one" / name)
        lines, wanted = (read_lines(tmp_path / n / name / "backbone" / "losses.jsonl") for n in ("two", "one"))
        assert len(lines) == len(wanted) == 1  # one writes
        assert lines[0] == pytest.approx(wanted[0], rel=1e-4)
        together = json.loads((tmp_path / "two" / name / "backbone" / "result.json").read_text())
        assert together["scores"] == pytest.approx(alone["scores"], abs=1e-3)


@pytest.mark.slow
def test_killed_it_goes_on_in_any_number_of_processes(data: Path, tmp_path: Path) -> None:
    words = ("tests.detection.processes", str(data))
    torchrun(2, *words, str(tmp_path / "whole"), "C4")
    for name in ("same", "one"):
        torchrun(2, *words, str(tmp_path / name), "C4", "--kill-before", "3", ends=1)
        assert not (tmp_path / name / "C4" / "backbone" / "result.json").exists()
    torchrun(2, *words, str(tmp_path / "same"), "C4")
    whole, same = state(tmp_path / "whole" / "C4"), state(tmp_path / "same" / "C4")
    assert all(torch.equal(value, same[name]) for name, value in whole.items())
    run("C4", data, tmp_path / "one")
    assert_alike(tmp_path / "one" / "C4", tmp_path / "whole" / "C4")


@pytest.mark.slow
def test_processes_that_do_not_divide_the_batch_are_refused(data: Path, tmp_path: Path) -> None:
    words = ("evaluate", "resnet18", "--protocol", "detection", "--settings", "small", "--data", str(data), "--device", "cpu")
    said = torchrun(3, "stopgrad", *words, "--features", "random", "--out", str(tmp_path / "out"), ends=1)
    assert "batch: 3 processes do not divide the 2 images of an iteration" in said


def test_one_process_draws_as_torchvision() -> None:
    g = torch.Generator().manual_seed(0)
    matched = [torch.randint(-1, 3, (n,), generator=g).float() for n in (40, 7, 100)] + [torch.zeros(30)]
    torch.manual_seed(5)
    ours = Sampler(16, 0.25)(matched)
    torch.manual_seed(5)
    theirs = BalancedPositiveNegativeSampler(16, 0.25)(matched)
    for one, other in zip(ours, theirs, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
