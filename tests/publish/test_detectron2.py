"""A backbone under detectron2's names, taken back by a mapping written the other way round: from its architecture, not from our names."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from stopgrad.config import Net
from stopgrad.errors import UserError
from stopgrad.nets.backbones import build
from stopgrad.publish.export import export
from stopgrad.publish.targets import TARGETS
from tests.publish.test_export import net, saved

BLOCKS = {"resnet18": (2, 2, 2, 2), "torchvision/resnet34": (3, 4, 6, 3), "resnet50": (3, 4, 6, 3)}


def expected(name: str) -> dict[str, str]:
    """Every name that detectron2's ResNet of this depth has, and where it lies in ours."""
    convolutions = 3 if name == "resnet50" else 2
    pairs = {"stem.conv1": ("conv1", "bn1")}
    for stage, blocks in enumerate(BLOCKS[name]):
        for block in range(blocks):
            theirs, ours = f"res{stage + 2}.{block}", f"layer{stage + 1}.{block}"
            pairs |= {f"{theirs}.conv{i}": (f"{ours}.conv{i}", f"{ours}.bn{i}") for i in range(1, convolutions + 1)}
            if block == 0 and (stage > 0 or convolutions == 3):  # where the shape changes
                pairs[f"{theirs}.shortcut"] = (f"{ours}.downsample.0", f"{ours}.downsample.1")
    names = {f"{theirs}.weight": f"{conv}.weight" for theirs, (conv, _) in pairs.items()}
    for what in ("weight", "bias", "running_mean", "running_var"):
        names |= {f"{theirs}.norm.{what}": f"{bn}.{what}" for theirs, (_, bn) in pairs.items()}
    return names


@pytest.mark.parametrize("name", BLOCKS)
def test_there_and_back_gives_the_same_features(name: str, tmp_path: Path) -> None:
    path, x, features = saved(tmp_path, net(name), 3, 64)
    lines = export(path, "detectron2", tmp_path / "out.pth")
    record = torch.load(tmp_path / "out.pth", weights_only=True)  # plain tensors: nothing else would be loaded
    assert record["matching_heuristics"] is True
    names = expected(name)
    assert record["model"].keys() == names.keys()
    state: dict[str, Tensor] = {ours: record["model"][theirs] for theirs, ours in names.items()}
    fresh = build(net(name), 3, 64)
    missing, unexpected = fresh.net.load_state_dict(state, strict=False)
    assert all(key.endswith("num_batches_tracked") for key in missing)
    assert unexpected == []
    with torch.no_grad():
        assert torch.equal(fresh.eval()(x), features)
    assert f"cfg.MODEL.RESNETS.DEPTH = {name[-2:]}" in lines
    assert ("cfg.MODEL.RESNETS.RES2_OUT_CHANNELS = 64" in lines) == (name != "resnet50")
    assert "cfg.MODEL.PIXEL_MEAN = [102.0, 127.5, 153.0]" in lines
    compile("\n".join(lines), "printed", "exec")


@pytest.mark.parametrize(
    ("wanted", "channels", "message"),
    [
        (net("resnet10"), 3, r"--to detectron2: resnet10 is not among its ResNets \(resnet18"),
        (net("timm/mobilenetv3_small_050"), 3, "is not among its ResNets"),
        (net("resnet18", "cifar", 8), 3, "has stem cifar, width 8 and 3 channels, its own have stem imagenet, width 64 and 3"),
        (net("resnet18"), 1, "and 1 channels"),
    ],
)
def test_what_it_does_not_have_is_refused(wanted: Net, channels: int, message: str, tmp_path: Path) -> None:
    path, _, _ = saved(tmp_path, wanted, channels, 32)
    with pytest.raises(UserError, match=message):
        export(path, "detectron2", tmp_path / "out.pth")
    assert not (tmp_path / "out.pth").exists()


def test_it_is_among_the_targets() -> None:
    assert "detectron2" in TARGETS
