"""Networks by name with weights from the libraries' caches or from a file: features are the library's, and what is not there is told."""

import hashlib
from pathlib import Path

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file

from stopgrad.errors import UserError
from stopgrad.nets.foreign import Asked
from stopgrad.nets.library import open_library

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of torch.hub; that of huggingface_hub is asked for nothing that is there."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    return tmp_path / "hub" / "checkpoints"


def test_torchvisions_weights_come_from_its_cache(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = torchvision.models.squeezenet1_1().eval()
    weights = torchvision.models.SqueezeNet1_1_Weights.IMAGENET1K_V1
    name = weights.url.rpartition("/")[2]
    wanted = (
        rf"torchvision/squeezenet1_1:IMAGENET1K_V1: .* nothing is downloaded: expected is {hub / name}; or name it .*torchvision/squeezenet1_1:FILE"
    )
    with pytest.raises(UserError, match=wanted):
        open_library("torchvision/squeezenet1_1", "IMAGENET1K_V1", None, Asked())
    torch.save(net.state_dict(), hub / name)
    with pytest.raises(UserError, match=rf"{name}: damaged \(its SHA-256 is not the one in its name\)"):
        open_library("torchvision/squeezenet1_1", "IMAGENET1K_V1", None, Asked())
    digest = hashlib.sha256((hub / name).read_bytes()).hexdigest()
    monkeypatch.setattr(torch.hub, "HASH_REGEX", None)
    (hub / name).rename(hub / f"squeezenet1_1-{digest[:8]}.pth")
    monkeypatch.setattr(type(weights.value), "url", property(lambda _: f"there/squeezenet1_1-{digest[:8]}.pth"), raising=False)
    found = open_library("torchvision/squeezenet1_1", "IMAGENET1K_V1", None, Asked())
    assert (found.size, found.mean, found.std) == (224, *IMAGENET)
    assert found.extra["layout"] == "torchvision/squeezenet1_1:IMAGENET1K_V1"
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(found.backbone.eval()(x), net.features(x).mean((2, 3))) or torch.allclose(
            found.backbone.eval()(x), net.features(x).mean((2, 3)), atol=1e-6
        )
    with pytest.raises(UserError, match="torchvision has no such weights; there are IMAGENET1K_V1"):
        open_library("torchvision/squeezenet1_1", "IMAGENET1K_V2", None, Asked())


def test_a_file_for_a_named_network_is_held_to_it(tmp_path: Path) -> None:
    net = timm.create_model("vit_tiny_patch16_224", img_size=32, num_classes=5).eval()
    torch.save({"state_dict": {f"module.{k}": v for k, v in net.state_dict().items()}}, tmp_path / "f.pth")
    found = open_library("timm/vit_tiny_patch16_224", None, tmp_path / "f.pth", Asked(size=32))
    assert (found.size, found.mean) == (32, (0.5, 0.5, 0.5))
    assert "which the file does not say" in found.notes[0]
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(found.backbone.eval()(x), net.forward_head(net.forward_features(x), pre_logits=True))
    with pytest.raises(
        UserError, match=r"not the weights of timm/vit_tiny_patch16_224: of another shape: pos_embed is \(1, 5, 192\), expected \(1, 197,"
    ):
        open_library("timm/vit_tiny_patch16_224", None, tmp_path / "f.pth", Asked())
    state = net.state_dict()
    state["extra.weight"] = state.pop("norm.weight")
    save_file(state, tmp_path / "g.safetensors")
    with pytest.raises(UserError, match=r"missing in the file: norm.weight; left over and not known: extra.weight"):
        open_library("timm/vit_tiny_patch16_224", None, tmp_path / "g.safetensors", Asked(size=32))


def test_timms_weights_are_looked_for_in_both_caches(hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    cache = tmp_path / "hf"
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))
    found = None
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda repo, name: found)
    with pytest.raises(
        UserError, match=r"timm/resnet18.a1_in1k: .* expected is model.safetensors in .*hf/models--timm--resnet18.a1_in1k; or .*timm/resnet18:FILE"
    ):
        open_library("timm/resnet18", "a1_in1k", None, Asked())
    with pytest.raises(UserError, match=r"timm/resnet18.b9: timm has no such weights; there are .*a1_in1k"):
        open_library("timm/resnet18", "b9", None, Asked())
    net = timm.create_model("resnet18").eval()
    save_file(net.state_dict(), tmp_path / "model.safetensors")
    found = str(tmp_path / "model.safetensors")
    opened = open_library("timm/resnet18", "a1_in1k", None, Asked())
    assert opened.extra["layout"] == "timm/resnet18:a1_in1k"
    assert (opened.mean, opened.std) == IMAGENET
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(opened.backbone.eval()(x), net.forward_head(net.forward_features(x), pre_logits=True))


@pytest.mark.slow
def test_colours_of_networks_that_transform_their_input(tmp_path: Path) -> None:
    """With weights, torchvision's GoogLeNet expects ImageNet's colours and changes them itself; here the colours are the changed ones."""
    net = torchvision.models.googlenet(aux_logits=True, init_weights=True, transform_input=True).eval()
    torch.save(net.state_dict(), tmp_path / "f.pth")
    found = open_library("torchvision/googlenet", None, tmp_path / "f.pth", Asked())
    pixels = torch.rand(2, 3, 64, 64)
    mean, std = (torch.tensor(v).reshape(3, 1, 1) for v in IMAGENET)
    net.fc = torch.nn.Identity()
    with torch.no_grad():
        torch.testing.assert_close(found.backbone.eval()((pixels - 0.5) / 0.5), net((pixels - mean) / std), rtol=1e-4, atol=1e-5)
    assert (found.mean, found.std) == ((0.5,) * 3, (0.5,) * 3)
