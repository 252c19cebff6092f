"""Other projects' checkpoints: identical features whatever the layout, and every key that does not fit is named."""

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

from stopgrad.config import Net
from stopgrad.errors import UserError
from stopgrad.nets.backbones import build
from stopgrad.nets.files import load, save
from stopgrad.nets.foreign import Asked, open_foreign
from stopgrad.nets.layouts import NAMES
from tests.nets.foreign_files import FILES, moco, resnet, simsiam, solo_learn

LARGE = ("wide_resnet50_2", "resnext50_32x4d")
"""Made at full width, since the width is what tells them apart: seconds each."""


def written(path: Path, what: Any) -> Path:
    torch.save(what, path)
    return path


@pytest.mark.parametrize("case", [pytest.param(c, marks=pytest.mark.slow) if c in LARGE else c for c in FILES])
def test_the_features_are_those_of_the_source_network(case: str, tmp_path: Path) -> None:
    layout, make = FILES[case]
    torch.manual_seed(1)
    saved, features = make()
    random = torch.get_rng_state()
    found = open_foreign(written(tmp_path / "their.pth.tar", saved), Asked())
    assert torch.equal(torch.get_rng_state(), random)
    assert found.extra["layout"] == layout
    size = 64 if found.size > 64 else 32
    x = torch.randn(2, 3, size, size)
    with torch.no_grad():
        ours, theirs = found.backbone.eval()(x), features(x)
    assert found.net is not None
    assert found.net.backbone == (f"torchvision/{case}" if case in LARGE else found.net.backbone)
    # The port of SimCLR v2 averages over the map by another operation.
    assert torch.equal(ours, theirs) if layout != "simclr-separius" else torch.allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    assert ours.std() > 0


def test_every_layout_has_a_file() -> None:
    assert {layout for layout, _ in FILES.values()} == set(NAMES)


@pytest.mark.parametrize("case", ["simsiam", "solo-learn, cifar", "lightly"])
def test_naming_the_layout_changes_nothing_and_another_is_refused(case: str, tmp_path: Path) -> None:
    layout, make = FILES[case]
    path = written(tmp_path / "f", make()[0])
    assert open_foreign(path, Asked(layout=layout)).sha256 == open_foreign(path, Asked()).sha256
    with pytest.raises(UserError, match=r"f: no ResNet is found where moco has it; the file holds"):
        open_foreign(path, Asked(layout="moco"))
    with pytest.raises(UserError, match=r"'simsim' is none of .*; did you mean 'simsiam'\?"):
        open_foreign(path, Asked(layout="simsim"))


def test_what_is_known_of_a_layout_comes_with_it(tmp_path: Path) -> None:
    def said(case: str, **asked: Any) -> tuple[Any, ...]:
        found = open_foreign(written(tmp_path / "f", FILES[case][1]()[0]), Asked(**asked))
        return found.net, found.size, found.mean, found.std

    r18, r50 = (Net(backbone=name, width=16, zero_init_residual=False) for name in ("resnet18", "resnet50"))
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    assert said("simsiam") == (r18, 224, mean, std)
    assert said("moco v2") == (r50, 224, mean, std)
    assert said("swav")[3] == (0.228, 0.224, 0.225)
    assert said("swav, wide")[0] == Net(backbone="resnet18", width=32, zero_init_residual=False)
    assert said("separius")[:3] == (Net(backbone="resnet50", width=8, zero_init_residual=False), 224, (0.0, 0.0, 0.0))
    assert said("leftthomas")[:2] == (Net(backbone="resnet18", stem="cifar", width=16, zero_init_residual=False), 32)
    assert said("solo-learn, cifar")[:2] == (Net(backbone="resnet18", stem="cifar-padded", width=16, zero_init_residual=False), 32)
    assert said("simsiam", size=96, mean=(0.5,), std=(0.25,)) == (r18, 96, (0.5,), (0.25,))


def test_what_is_taken_for_granted_is_said(tmp_path: Path) -> None:
    path = written(tmp_path / "f", resnet().state_dict())
    note = (
        "images of 224 pixels, minus 0.485, 0.456, 0.406, over 0.229, 0.224, 0.225: ImageNet's, which the file does not say; --size, --mean and --std"
    )
    assert note in open_foreign(path, Asked()).notes[0]
    assert "224 pixels, minus 0.5, over 0.25: as asked" in open_foreign(path, Asked(size=224, mean=(0.5,), std=(0.25,))).notes[0]


def test_the_stride_of_a_small_stem_is_asked_for_where_no_layout_settles_it(tmp_path: Path) -> None:
    ours = build(Net(backbone="resnet18", stem="small", width=8, zero_init_residual=False), 3, 32)
    path = written(tmp_path / "exported.pth", ours.net.state_dict())
    with pytest.raises(UserError, match="3x3, and the weights do not tell its stride; say it by --stem"):
        open_foreign(path, Asked())
    with pytest.raises(UserError, match="--stem is one of cifar, cifar-padded, small, not imagenet"):
        open_foreign(path, Asked(stem="imagenet"))
    found = open_foreign(path, Asked(stem="small"))
    assert (found.net, found.size) == (Net(backbone="resnet18", stem="small", width=8, zero_init_residual=False), 32)
    x = torch.randn(2, 3, 32, 32)
    assert torch.equal(found.backbone.eval()(x), ours.eval()(x))


def test_other_channels_want_colours_of_their_own(tmp_path: Path) -> None:
    net = resnet()
    net.conv1 = nn.Conv2d(5, 16, 7, 2, 3, bias=False)
    path = written(tmp_path / "f", net.state_dict())
    with pytest.raises(UserError, match="takes images of 5 channels; give --mean one value, or 5"):
        open_foreign(path, Asked())
    assert open_foreign(path, Asked(mean=(0.5,), std=(0.2,))).channels == 5
    with pytest.raises(UserError, match="--std: above 0, not 0"):
        open_foreign(path, Asked(mean=(0.5,), std=(0.0,)))


def test_missing_and_unknown_keys_are_listed(tmp_path: Path) -> None:
    saved = simsiam()[0]
    state = saved["state_dict"]
    del state["module.encoder.layer2.0.bn1.weight"], state["module.encoder.layer2.0.bn1.bias"], state["module.encoder.bn1.running_var"]
    state |= {"module.encoder.layer3.0.gate.weight": torch.zeros(2), "module.extra.0.weight": torch.zeros(1)}
    wanted = (
        r"f: no layout's; nearest simsiam .*: missing in the file: bn1.running_var, layer2.0.bn1.\{weight, bias\}; "
        r"left over and not known: module.extra.0.weight, module.encoder.layer3.0.gate.weight"
    )
    for asked in (Asked(), Asked(layout="simsiam")):
        with pytest.raises(UserError, match=wanted.replace("no layout's; nearest", "not") if asked.layout else wanted) as caught:
            open_foreign(written(tmp_path / "f", saved), asked)
        assert "\n" not in str(caught.value)


def test_of_very_many_keys_the_rest_is_counted(tmp_path: Path) -> None:
    state = {"fc.weight": torch.zeros(1)} | resnet().state_dict() | {f"block{i}.weight": torch.zeros(1) for i in range(60)}
    with pytest.raises(UserError, match=r"block39\.weight and 20 layers more"):
        open_foreign(written(tmp_path / "f", state), Asked())


def test_shapes_that_do_not_fit_are_named(tmp_path: Path) -> None:
    state = resnet().state_dict()
    state["layer3.0.conv1.weight"] = torch.zeros(64, 20, 3, 3)
    with pytest.raises(UserError, match=r"layer3.0.conv1.weight is \(64, 20, 3, 3\), expected \(64, 32, 3, 3\)"):
        open_foreign(written(tmp_path / "f", state), Asked())
    with pytest.raises(UserError, match=r"first convolution is \(16, 3, 5, 5\); 7x7 and 3x3 are known"):
        open_foreign(written(tmp_path / "f", resnet().state_dict() | {"conv1.weight": torch.zeros(16, 3, 5, 5)}), Asked())
    deep = torchvision.models.ResNet(torchvision.models.resnet.BasicBlock, [1, 2, 1, 1])
    with pytest.raises(UserError, match=r"stages have \(1, 2, 1, 1\) blocks of two convolutions; known are resnet10, resnet18"):
        open_foreign(written(tmp_path / "f", deep.state_dict()), Asked())
    with pytest.raises(UserError, match=r"of another shape: bn1.bias is torch.int64 on cpu"):
        open_foreign(written(tmp_path / "f", resnet().state_dict() | {"bn1.bias": torch.zeros(16, dtype=torch.long)}), Asked())


def test_a_layout_that_could_be_several_is_asked_for(tmp_path: Path) -> None:
    stripped = {f"backbone.{k}": v for k, v in resnet().state_dict().items() if not k.startswith("fc.")}
    path = written(tmp_path / "f", {"state_dict": stripped})
    with pytest.raises(
        UserError, match="say too little: they would do for simclr-sthalles and lightly-resnet and solo-learn and mmpretrain; say which"
    ):
        open_foreign(path, Asked())
    assert open_foreign(path, Asked(layout="mmpretrain")).mean == (0.485, 0.456, 0.406)
    twice = resnet().state_dict()
    with pytest.raises(UserError, match="fits torchvision and torchvision"):
        open_foreign(written(tmp_path / "g", {"state_dict": twice, "model": twice}), Asked())


def test_one_name_under_two_wrappers_is_no_name(tmp_path: Path) -> None:
    state = resnet().state_dict()
    with pytest.raises(UserError, match=r"left over and not known: module\.conv1\.weight"):
        open_foreign(written(tmp_path / "f", state | {"module.conv1.weight": state["conv1.weight"] + 1}), Asked())


def test_networks_of_other_kinds_are_refused(tmp_path: Path) -> None:
    net = torchvision.models.mobilenet_v3_small()
    with pytest.raises(UserError, match=r"no ResNet is found under any layout \(simsiam, .*\); the file holds features\.0\."):
        open_foreign(written(tmp_path / "f", net.state_dict()), Asked())
    with pytest.raises(UserError, match=r"nearest torchvision .*missing in the file: conv1\.weight"):
        open_foreign(written(tmp_path / "f", timm.create_model("resnet18d").state_dict()), Asked())
    with pytest.raises(UserError, match="the file holds nothing"):
        open_foreign(written(tmp_path / "f", {}), Asked())


def test_selective_kernels_are_named_as_what_does_not_fit(tmp_path: Path) -> None:
    saved = FILES["separius"][1]()[0]
    saved["resnet"]["net.1.blocks.0.net.2.main_conv.0.weight"] = saved["resnet"].pop("net.1.blocks.0.net.2.weight")
    with pytest.raises(
        UserError, match=r"missing in the file: layer1.0.conv2.weight; left over and not known: net.1.blocks.0.net.2.main_conv.0.weight"
    ):
        open_foreign(written(tmp_path / "f", saved), Asked())


def test_safetensors_and_timm_files_are_read_too(tmp_path: Path) -> None:
    net = timm.create_model("resnet18", num_classes=10)
    save_file(net.state_dict(), tmp_path / "model.safetensors")
    found = open_foreign(tmp_path / "model.safetensors", Asked())
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(found.backbone.eval()(x), net.eval().forward_head(net.forward_features(x), pre_logits=True), rtol=0, atol=0)


def test_what_was_read_is_written_as_ours_with_its_origin(tmp_path: Path) -> None:
    path = written(tmp_path / "their.ckpt", solo_learn("backbone", cifar=True)[0])
    found = open_foreign(path, Asked())
    save(tmp_path / "ours", found.backbone, found.net, found.size, found.mean, found.std, found.extra)
    again = load(tmp_path / "ours")
    assert again.sha256 == found.sha256
    assert again.extra["origin"] == "their.ckpt"
    assert again.extra["layout"] == "solo-learn"
    assert len(again.extra["origin_sha256"]) == 64
    x = torch.randn(2, 3, 32, 32)
    assert torch.equal(again.backbone.eval()(x), found.backbone.eval()(x))


def test_the_file_is_left_alone_by_what_is_made_of_it(tmp_path: Path) -> None:
    path = written(tmp_path / "f", moco(1)[0])
    before = path.read_bytes()
    found = open_foreign(path, Asked())
    with torch.no_grad():
        for p in found.backbone.parameters():
            p.add_(1)  # the file is mapped: what is trained must be a copy
    assert path.read_bytes() == before
