"""What is proposed next fits the run: no command that would fail when typed."""

import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from stopgrad.cli import main, parser
from stopgrad.config import Net
from stopgrad.onward import next_lines, next_steps, timm_can_express
from stopgrad.runs import RunDirectory
from tests.toys import toy_run


def finished(out: Path, source: str = "bundled", labelled: bool = True, verdict: str = "healthy", **net: Any) -> RunDirectory:
    """Write the files of a finished run that decide what is proposed."""
    run, directory = toy_run(), RunDirectory(out)
    out.mkdir(parents=True)
    directory.write_config(replace(run, data=replace(run.data, source=source), net=replace(run.net, **net)))
    directory.update_status(state="finished", verdict={"state": verdict})
    directory.metrics.write_text(json.dumps({"step": 4} | ({"knn": 0.5} if labelled else {})) + "\n")
    directory.backbone.touch()
    return directory


def commands(out: Path) -> list[str]:
    found = next_steps(out)
    for step in found:
        assert shlex.split(step.command)[:2] == ["stopgrad", step.verb]
        assert step.purpose.startswith("kNN") or step.purpose[0].isupper()
        parser().parse_args(shlex.split(step.command)[1:])
    return [step.command for step in found]


def test_a_labelled_run_is_judged_first(tmp_path: Path) -> None:
    out = tmp_path / "my run"
    finished(out)
    assert commands(out) == [
        f"stopgrad evaluate '{out}'",
        f"stopgrad embed '{out}' bundled",
        f"stopgrad report '{out}'",
        f"stopgrad export '{out}' --to safetensors",
    ]
    assert next_lines(out)[0] == "next:"
    assert next_lines(out)[1].startswith(f"  stopgrad evaluate '{out}'")


def test_a_run_without_labels_is_judged_on_others(tmp_path: Path) -> None:
    out, photos = tmp_path / "run", tmp_path / "photos"
    photos.mkdir()
    finished(out, source=str(photos), labelled=False)
    assert commands(out) == [
        f"stopgrad embed {out} {photos}",
        f"stopgrad report {out}",
        f"stopgrad export {out} --to safetensors",
        f"stopgrad evaluate {out} --data LABELLED",
    ]


def test_arrays_are_to_be_named_again(tmp_path: Path) -> None:
    out = tmp_path / "run"
    finished(out, source="arrays")
    found = commands(out)
    assert found[0] == f"stopgrad embed {out} IMAGES"
    assert found[-1] == f"stopgrad evaluate {out} --data LABELLED"


def test_what_is_there_is_not_proposed_again(tmp_path: Path) -> None:
    out = tmp_path / "run"
    directory = finished(out, stem="imagenet", width=64)
    assert f"stopgrad export {out} --to timm" in commands(out)
    for path in (directory.evaluations, directory.embeddings, out / "timm"):
        path.touch()
    assert commands(out) == [f"stopgrad report {out}"]


def test_a_collapsed_backbone_is_not_handed_over(tmp_path: Path) -> None:
    finished(tmp_path / "run", verdict="collapsed")
    assert commands(tmp_path / "run") == [f"stopgrad evaluate {tmp_path / 'run'}", f"stopgrad report {tmp_path / 'run'}"]


@pytest.mark.whole
def test_every_command_ends_with_what_is_left_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for i in range(40):
        (tmp_path / "photos" / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((16, 16, 3), 6 * i, np.uint8)).save(tmp_path / "photos" / "ab"[i % 2] / f"{i}.png")
    out, photos = tmp_path / "run", str(tmp_path / "photos")
    settings = ["net.backbone=resnet10", "net.stem=small", "net.width=8", "method.projector=32,32", "method.predictor_hidden=8", "views.size=16"]
    words = ["pretrain", photos, "--labels", "none", "--out", str(out), "--epochs", "1", "--batch", "8", *(w for s in settings for w in ("--set", s))]
    for _ in range(2):  # trained, then found finished
        assert main(words) == 0
        said = capsys.readouterr().out
        assert f"stopgrad evaluate {out} --data LABELLED" in said
        assert f"stopgrad export {out} --to safetensors" in said
        assert "--to timm" not in said
    assert main(["embed", str(out), photos, "--out", str(tmp_path / "elsewhere.parquet")]) == 0
    said = capsys.readouterr().out
    assert f"the report shows {out / 'embeddings.parquet'} only: without --out they go there" in said
    assert f"stopgrad embed {out}" in said
    assert main(["embed", str(out), photos]) == 0
    said = capsys.readouterr().out
    assert "without --out" not in said
    assert "stopgrad embed" not in said
    assert main(["evaluate", str(out), "--data", photos, "--protocol", "knn", "linear", "--features", "pixels", "backbone"]) == 0
    said = capsys.readouterr().out
    assert "pixels: linear (simsiam): epoch 1/90, loss" in said
    assert "backbone: linear (simsiam): epoch 90/90, loss" in said
    assert "only 4 test images: differences of less than about" in said
    assert "stopgrad evaluate" not in said
    assert main(["export", str(out), "--to", "safetensors"]) == 0


@pytest.mark.parametrize("unfinished", [True, False])
def test_of_what_commands_cannot_load_only_the_page(unfinished: bool, tmp_path: Path) -> None:
    directory = finished(tmp_path / "run", backbone="resnet10" if unfinished else "module:Own")
    if unfinished:
        directory.backbone.unlink()
    assert commands(tmp_path / "run") == [f"stopgrad report {tmp_path / 'run'}"]


@pytest.mark.parametrize(
    ("net", "can"),
    [
        (Net(backbone="resnet18", zero_init_residual=False), True),
        (Net(backbone="resnet18", stem="cifar", zero_init_residual=False), False),
        (Net(backbone="resnet10", width=16, zero_init_residual=False), False),
        (Net(backbone="timm/resnet50", zero_init_residual=False), True),
        (Net(backbone="torchvision/resnet50", zero_init_residual=False), False),
        (Net(backbone="vit_tiny_patch16_224", zero_init_residual=False), False),
    ],
)
def test_timm_is_proposed_where_it_surely_can(net: Net, can: bool) -> None:
    assert timm_can_express(net) is can
