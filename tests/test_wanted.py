"""What a word means, answered without torch."""

import json
from pathlib import Path

import pytest

from stopgrad.errors import UserError
from stopgrad.wanted import judgeable, wanted


def test_names_and_their_weights(tmp_path: Path) -> None:
    def said(text: str) -> tuple[object, ...]:
        found = wanted(text)
        return found.kind, found.network, found.tag, found.path, found.trained

    file = tmp_path / "w.pth"
    file.write_bytes(b"x")
    assert said("torchvision/resnet50") == ("network", "torchvision/resnet50", None, None, False)
    assert said("resnet18") == ("network", "resnet18", None, None, False)
    assert said("torchvision/resnet50:IMAGENET1K_V2") == ("network", "torchvision/resnet50", "IMAGENET1K_V2", None, True)
    assert said("timm/resnet50.a1_in1k") == ("network", "timm/resnet50", "a1_in1k", None, True)
    assert said(f"timm/resnet50:{file}") == ("network", "timm/resnet50", None, file, True)
    assert said(str(file)) == ("file", None, None, file, True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("runs/gone", "runs/gone: no such folder or file"),
        ("gone.pth", "gone.pth: no such folder or file"),
        ("torchvision/resnet51", r"torchvision/resnet51: no run or file, and no network: no 'resnet51' among torchvision's networks; did you mean"),
        ("resnet51", r"resnet51: no run or file, and no network: .*there are resnet10"),
        (
            "torchvision/resnet50:gone.pth",
            r"no such file 'gone.pth'; weights are a file behind a colon, or a tag such as torchvision/resnet50:IMAGENET1K_V2",
        ),
        ("timm/resnet50:a1_in1k", r"no such file 'a1_in1k'; .* a tag such as timm/resnet50.a1_in1k"),
        ("resnet50:IMAGENET1K_V2", r"of stopgrad's own networks name the file alone, .* torchvision/resnet50:TAG"),
        ("", "name a run directory, a file or a network"),
    ],
)
def test_words_that_mean_nothing(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        wanted(text)


def test_layouts_are_for_files(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--layout: 'mocco' is none of .*; did you mean 'moco'\?"):
        wanted("x.pth", "mocco")
    with pytest.raises(UserError, match="a folder; --layout moco is for another project's file"):
        wanted(str(tmp_path), "moco")
    with pytest.raises(UserError, match="no such file; --layout moco is for another project's file"):
        wanted("torchvision/resnet50", "moco")


def test_folders_are_runs_or_timm_exports(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no run here \(config.json is missing\)"):
        wanted(str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "resnet18"}))
    (tmp_path / "model.safetensors").write_bytes(b"")
    assert wanted(str(tmp_path)).path == tmp_path / "model.safetensors"


def test_what_is_no_run_has_no_images_and_no_projector() -> None:
    with pytest.raises(UserError, match="torchvision/resnet18: no images go with it; name labelled ones: --data LABELLED"):
        judgeable("torchvision/resnet18", None, None, 0)
    with pytest.raises(UserError, match="--head 1: the projector is known of a run alone"):
        judgeable("torchvision/resnet18", None, "bundled", 1)
