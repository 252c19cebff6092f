"""What export prints is a program: executed here in an empty namespace, without stopgrad, its ``net`` gives the same features."""

import json
import sys
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from stopgrad.config import Net
from stopgrad.errors import UserError
from stopgrad.nets.backbones import build, wrap
from stopgrad.nets.files import load, save
from stopgrad.publish.export import export

MEAN, STD = (0.4, 0.5, 0.6), (0.1, 0.2, 0.3)


def net(backbone: str, stem: str = "imagenet", width: int = 64, zero_init_residual: bool = False) -> Net:
    return Net(backbone=backbone, stem=stem, width=width, zero_init_residual=zero_init_residual)  # type: ignore[arg-type]


def name_of(value: object) -> str | None:
    return f"{value.backbone}-{value.stem}-{value.width}" if isinstance(value, Net) else None


def saved(folder: Path, net: Net, channels: int = 3, size: int = 32) -> tuple[Path, Tensor, Tensor]:
    """Return the file of a backbone whose BN has seen images, images, and their features."""
    torch.manual_seed(0)
    backbone = build(net, channels, size).train()
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0  # the images' own statistics; with the untrained ones features would hardly depend on the images
    x = torch.randn(4, channels, size, size)
    with torch.no_grad():
        backbone(x)
        features = backbone.eval()(x)
    path = folder / "backbone.safetensors"
    mean, std = (MEAN, STD) if channels == 3 else ((0.5,), (0.25,))
    save(path, backbone, net, size, mean, std, {"recipe": "toy"})
    return path, x, features


def execute(lines: list[str]) -> nn.Module:
    """Run what was printed, and nothing of stopgrad's."""
    code = "\n".join(lines)
    assert "stopgrad" not in "\n".join(line for line in lines if not line.startswith("#")).replace("stopgrad-test", "")
    namespace: dict[str, nn.Module] = {}
    exec(code, namespace)
    return namespace["net"]


def check(folder: Path, wanted: Net, to: str, channels: int, size: int) -> None:
    path, x, features = saved(folder, wanted, channels, size)
    loaded = execute(export(path, to, folder / "out"))
    assert not loaded.training
    with torch.no_grad():
        assert (loaded(x) - features).abs().max() <= 1e-6
    assert features.std(0).mean() > 1e-3, "features that do not depend on the image would compare equal whatever the weights"


@pytest.mark.parametrize(
    ("wanted", "channels", "size", "to"),
    [
        (net("resnet18"), 3, 64, "torchvision"),
        (net("resnet18", "cifar", 16), 1, 16, "safetensors"),
        (net("resnet10", "small", 8), 5, 32, "torchvision"),
        (net("resnet10", "small", 8), 5, 32, "safetensors"),
        (net("resnet50", "imagenet", 16), 3, 64, "torchvision"),
        (net("torchvision/shufflenet_v2_x0_5"), 1, 64, "torchvision"),
        (net("mobilenet_v3_small"), 3, 64, "safetensors"),
        (net("squeezenet1_1"), 4, 64, "torchvision"),
        (net("googlenet"), 1, 64, "safetensors"),
    ],
    ids=name_of,
)
def test_torchvision_code_gives_the_same_features(wanted: Net, channels: int, size: int, to: str, tmp_path: Path) -> None:
    check(tmp_path, wanted, to, channels, size)


@pytest.mark.slow
@pytest.mark.parametrize("to", ["torchvision", "safetensors"])
@pytest.mark.parametrize(
    "name", ["densenet121", "vit_b_32", "swin_t", "convnext_tiny", "vgg11_bn", "maxvit_t", "inception_v3", "efficientnet_v2_s", "regnet_y_400mf"]
)
def test_torchvision_code_of_larger_networks(name: str, to: str, tmp_path: Path) -> None:
    check(tmp_path, net(name), to, 2, 224 if name in ("maxvit_t", "inception_v3") else 64)


@pytest.mark.parametrize(
    ("wanted", "channels", "size"),
    [
        (net("resnet18"), 3, 64),
        (net("resnet10"), 5, 64),
        (net("vit_tiny_patch16_224"), 1, 32),
        (net("timm/mobilenetv3_small_050"), 3, 64),
    ],
    ids=name_of,
)
def test_timm_folder_gives_the_same_features(wanted: Net, channels: int, size: int, tmp_path: Path) -> None:
    check(tmp_path, wanted, "timm", channels, size)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["resnet34", "resnet50", "resnet101", "resnet152", "timm/resnet50", "timm/convnext_atto", "timm/swinv2_cr_tiny_ns_224"]
)
def test_timm_folder_of_larger_networks(name: str, tmp_path: Path) -> None:
    check(tmp_path, net(name), "timm", 1, 96)


@pytest.mark.parametrize("wanted", [net("vit_tiny_patch16_224"), net("timm/mobilenetv3_small_050")], ids=name_of)
def test_safetensors_of_a_timm_network(wanted: Net, tmp_path: Path) -> None:
    check(tmp_path, wanted, "safetensors", 1, 32)


def test_timm_reads_the_runs_own_preprocessing_and_no_tag_of_theirs(tmp_path: Path) -> None:
    path, _, _ = saved(tmp_path, net("resnet10"), 3, 64)
    model = execute(export(path, "timm", tmp_path / "out"))
    data = timm.data.resolve_model_data_config(model)
    assert (tuple(data["mean"]), tuple(data["std"])) == (MEAN, STD)
    assert (tuple(data["input_size"]), data["interpolation"], data["crop_pct"]) == ((3, 64, 64), "bilinear", 1.0)
    assert (model.pretrained_cfg["tag"], model.pretrained_cfg["num_classes"]) == ("stopgrad", 0)  # type: ignore[index]
    assert not {"license", "hf_hub_id", "url", "origin_url", "paper_ids"} & model.pretrained_cfg.keys()  # type: ignore[operator]
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert (config["architecture"], config["num_classes"], config["num_features"]) == ("resnet18", 0, 512)


@pytest.mark.parametrize("wanted", [net("resnet10"), net("vit_tiny_patch16_224")], ids=name_of)
def test_timm_folder_takes_a_new_classifier_and_other_channels(wanted: Net, tmp_path: Path) -> None:
    path, _, _ = saved(tmp_path, wanted, 3, 64)
    export(path, "timm", tmp_path / "out")
    model = timm.create_model(f"local-dir:{tmp_path / 'out'}", pretrained=True, num_classes=10, in_chans=1)
    assert model(torch.randn(2, 1, 64, 64)).shape == (2, 10)
    name = "layer4.0.conv2.weight" if wanted.backbone == "resnet10" else "blocks.11.mlp.fc2.weight"
    assert torch.equal(model.state_dict()[name], load_file(path)[name])


def test_grey_mean_is_spread_over_the_channels(tmp_path: Path) -> None:
    path, _, _ = saved(tmp_path, net("resnet10"), 2, 64)
    lines = export(path, "timm", tmp_path / "out")
    assert "images (2, 64, 64) of values 0..1, minus [0.5, 0.5], over [0.25, 0.25]" in lines[1]
    assert json.loads((tmp_path / "out" / "config.json").read_text())["pretrained_cfg"]["mean"] == [0.5, 0.5]


def test_torchvision_file_is_a_plain_state_dict(tmp_path: Path) -> None:
    path, _, _ = saved(tmp_path, net("resnet10", "small", 4))
    lines = export(path, "torchvision", tmp_path / "new" / "weights.pth")
    state = torch.load(tmp_path / "new" / "weights.pth", weights_only=True)
    assert type(state) is dict
    assert state.keys() == load_file(path).keys()
    assert f"torch.load('{tmp_path / 'new' / 'weights.pth'}', weights_only=True)" in "\n".join(lines)


def test_safetensors_export_is_the_backbone_file(tmp_path: Path) -> None:
    path, _, _ = saved(tmp_path, net("resnet10", "small", 4))
    export(path, "safetensors", tmp_path / "copy.safetensors")
    assert (tmp_path / "copy.safetensors").read_bytes() == path.read_bytes()
    assert load(tmp_path / "copy.safetensors").extra == {"recipe": "toy"}


@pytest.mark.parametrize(
    ("wanted", "to", "message"),
    [
        (
            net("resnet10", "cifar", 4),
            "timm",
            r"this resnet10 has stem cifar \(timm's: imagenet\) and width 4 \(timm's: 64\); use --to torchvision or",
        ),
        (net("resnet10", width=4), "timm", r"resnet10 has width 4 \(timm's: 64\); use .* or pretrain anew with --set net.width=64$"),
        (net("resnet10", "small"), "timm", r"resnet10 has stem small \(timm's: imagenet\); use .* anew with --set net.stem=imagenet$"),
        (net("shufflenet_v2_x0_5"), "timm", "a network of torchvision's; use --to torchvision or --to safetensors"),
        (net("timm/mobilenetv3_small_050"), "torchvision", "a network of timm's; use --to timm or --to safetensors"),
        (net("resnet10", width=4), "onnx", "'onnx' is none of torchvision, timm, safetensors"),
        (net("resnet10", width=4), "torchvison", "did you mean 'torchvision'"),
    ],
)
def test_what_a_target_cannot_express_is_refused_with_one_that_can(wanted: Net, to: str, message: str, tmp_path: Path) -> None:
    path, _, _ = saved(tmp_path, wanted)
    with pytest.raises(UserError, match=message):
        export(path, to, tmp_path / "out")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("to", ["torchvision", "timm", "safetensors"])
def test_nothing_is_overwritten_unasked(to: str, tmp_path: Path) -> None:
    path, x, features = saved(tmp_path, net("resnet10", width=64 if to == "timm" else 4))
    out = tmp_path / "out"
    export(path, to, out)
    with pytest.raises(UserError, match="exists; choose another --out or add --overwrite"):
        export(path, to, out)
    if to == "timm":
        (out / "notes.txt").write_text("mine")
    assert torch.equal(execute(export(path, to, out, overwrite=True))(x), features)
    assert to != "timm" or (out / "notes.txt").read_text() == "mine"


def test_files_and_folders_are_not_mixed_up(tmp_path: Path) -> None:
    path, _, _ = saved(tmp_path, net("resnet10", width=4))
    with pytest.raises(UserError, match="a folder; this target writes a file"):
        export(path, "torchvision", tmp_path, overwrite=True)
    with pytest.raises(UserError, match="a file; --to timm writes a folder"):
        export(saved(tmp_path, net("timm/mobilenetv3_small_050"))[0], "timm", path, overwrite=True)


def test_a_module_of_the_users_own_is_already_plain(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Conv2d(2, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    save(tmp_path / "f", wrap(module, 2, 16), None, 16, (0.5,), (0.25,), {})
    with pytest.raises(UserError, match=r"module.load_state_dict\(safetensors.torch.load_file\(path\)\)"):
        export(tmp_path / "f", "safetensors", tmp_path / "out")


def test_a_torchvision_backbone_needs_no_timm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, x, features = saved(tmp_path, net("resnet10", width=8), 3, 64)
    monkeypatch.setitem(sys.modules, "timm", None)
    assert torch.equal(execute(export(path, "torchvision", tmp_path / "out"))(x), features)
