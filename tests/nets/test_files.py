"""backbone.safetensors: there and back, readable without stopgrad, and every way a file can be wrong."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torchvision
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from stopgrad.config import Net
from stopgrad.errors import UserError
from stopgrad.files import whole
from stopgrad.nets.backbones import Backbone, build, wrap
from stopgrad.nets.files import digest, load, save

NET = Net(backbone="resnet10", stem="small", width=4, zero_init_residual=False)


def trained(net: Net, channels: int = 3, size: int = 32) -> Backbone:
    """A backbone whose BN has seen images."""
    torch.manual_seed(0)
    backbone = build(net, channels, size).train()
    with torch.no_grad():
        backbone(torch.randn(8, channels, size, size))
    return backbone


def write(path: Path, net: Net = NET, channels: int = 3) -> Backbone:
    backbone = trained(net, channels)
    save(path, backbone, net, 32, (0.5,), (0.25,), {"recipe": "toy"})
    return backbone


def test_there_and_back(tmp_path: Path) -> None:
    path = tmp_path / "backbone.safetensors"
    backbone = write(path, channels=5)
    random = torch.get_rng_state()
    loaded = load(path)
    assert torch.equal(torch.get_rng_state(), random)
    assert (loaded.net, loaded.channels, loaded.size, loaded.mean, loaded.std) == (NET, 5, 32, (0.5,), (0.25,))
    assert (loaded.extra, loaded.sha256) == ({"recipe": "toy"}, digest(backbone))
    assert loaded.backbone.features == backbone.features
    for key, value in backbone.state_dict().items():
        assert torch.equal(value, loaded.backbone.state_dict()[key]), key


def test_plain_torchvision_loads_it(tmp_path: Path) -> None:
    path = tmp_path / "backbone.safetensors"
    backbone = write(path, Net(backbone="resnet18", zero_init_residual=True))
    theirs = torchvision.models.resnet18()
    theirs.fc = nn.Identity()
    theirs.load_state_dict(load_file(path))
    x = torch.randn(2, 3, 64, 64)
    assert torch.equal(theirs.eval()(x), backbone.eval()(x))


def test_a_module_of_the_users_own_needs_its_like(tmp_path: Path) -> None:
    path = tmp_path / "backbone.safetensors"

    def own() -> nn.Module:
        return nn.Sequential(nn.Conv2d(2, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())

    backbone = wrap(own(), 2, 16)
    save(path, backbone, None, 16, (0.5,), (0.25,), {})
    with pytest.raises(UserError, match="a module of your own"):
        load(path)
    with pytest.raises(UserError, match=r"weights do not fit Sequential: .*Missing key"):
        load(path, into=nn.Sequential(nn.Identity(), *own()))
    loaded = load(path, into=own())
    assert (loaded.net, loaded.backbone.features) == (None, 4)
    assert loaded.sha256 == digest(loaded.backbone) == digest(backbone)


def test_equal_backbones_give_equal_files_whatever_their_layout(tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    backbone = write(a)
    backbone = backbone.to(memory_format=torch.channels_last)
    save(b, backbone, NET, 32, (0.5,), (0.25,), {"recipe": "toy"})
    assert a.read_bytes() == b.read_bytes()
    with safe_open(a, "pt") as file:
        assert list(file.metadata()) == ["stopgrad"]  # more than one, and the order of the header would be random


def test_digest_is_over_names_types_shapes_and_bytes() -> None:
    linear = nn.Linear(2, 1)
    with torch.no_grad():
        linear.weight.copy_(torch.tensor([[1.0, -2.0]]))
        linear.bias.fill_(0.5)
    backbone = Backbone(linear, 1, 2)
    expected = hashlib.sha256(b'["bias", "torch.float32", [1]]' + bytes.fromhex("0000003f"))
    expected.update(b'["weight", "torch.float32", [1, 2]]' + bytes.fromhex("0000803f" + "000000c0"))
    assert digest(backbone) == expected.hexdigest()
    with torch.no_grad():
        linear.bias.mul_(1 + 2**-23)
    assert digest(backbone) != expected.hexdigest()


def test_tied_weights_are_saved_twice_and_loaded_once(tmp_path: Path) -> None:
    def tied() -> nn.Module:
        first = nn.Linear(16, 16)
        return nn.Sequential(nn.Flatten(), first, nn.ReLU(), first)

    module = tied()
    save(tmp_path / "f", wrap(module, 1, 4), None, 4, (0.0,), (1.0,), {})
    loaded = load(tmp_path / "f", into=tied())
    x = torch.randn(2, 1, 4, 4)
    assert torch.equal(loaded.backbone(x), module(x))


def test_state_that_is_no_tensor_is_refused(tmp_path: Path) -> None:
    class Counting(nn.Flatten):
        def get_extra_state(self) -> int:
            return 3

        def set_extra_state(self, state: int) -> None: ...

    with pytest.raises(UserError, match="'_extra_state' of Counting is a int"):
        save(tmp_path / "f", wrap(Counting(), 1, 4), None, 4, (0.0,), (1.0,), {})


def test_unreadable_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "backbone.safetensors"
    write(path)
    content = path.read_bytes()
    cases = {"empty": b"", "short": content[:-1], "header": content[:40], "text": b"hello, world", "pickle": b"\x80\x04N."}
    for name, wrong in cases.items():
        (tmp_path / name).write_bytes(wrong)
        with pytest.raises(UserError, match=rf"{name}: cannot be read as safetensors"):
            load(tmp_path / name)
    with pytest.raises(UserError, match=r"none\.safetensors: no such file"):
        load(tmp_path / "none.safetensors")
    with pytest.raises(UserError, match=r"a folder; name the \.safetensors file in it"):
        load(tmp_path)


def test_one_flipped_bit_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "backbone.safetensors"
    write(path)
    content = bytearray(path.read_bytes())
    content[-1000] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match="damaged"):
        load(path)


def rewrite(path: Path, **changes: object) -> None:
    """Change entries of the metadata, and nothing else."""
    with safe_open(path, "pt") as file:
        record = json.loads(file.metadata()["stopgrad"])
    save_file(load_file(path), path, {"stopgrad": json.dumps(record | changes)})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"form": 2}, "written in form 2, this version of stopgrad reads form 1"),
        ({"size": None}, "metadata is not what stopgrad writes"),
        ({"net": {"backbone": "resnet10"}}, "metadata is not what stopgrad writes"),
        (
            {"net": {"backbone": "resnet10", "stem": "small", "width": "4", "zero_init_residual": False, "init": None}},
            "metadata is not what stopgrad writes",
        ),
        (
            {"net": {"backbone": "resnet10", "stem": "small", "width": 8, "zero_init_residual": False, "init": None}},
            "weights do not fit resnet10: .*size mismatch",
        ),
        ({"net": {"backbone": "resnet11", "stem": "small", "width": 4, "zero_init_residual": False, "init": None}}, "no 'resnet11' among"),
    ],
)
def test_wrong_metadata_is_refused(changes: dict[str, object], message: str, tmp_path: Path) -> None:
    path = tmp_path / "backbone.safetensors"
    write(path)
    rewrite(path, **changes)
    with pytest.raises(UserError, match=message) as caught:
        load(path)
    assert "\n" not in str(caught.value)


def test_another_programs_safetensors_are_refused(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(2)}, tmp_path / "f")
    with pytest.raises(UserError, match="not a backbone that stopgrad wrote"):
        load(tmp_path / "f")


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text("old")
    with pytest.raises(UserError, match=r"f: cannot be written \(.*disk full"), whole(path) as temporary:  # noqa: PT012
        temporary.write_text("half of the n")
        raise OSError("disk full")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(UserError, match="cannot be written"):
        write(path / "below" / "a file")


def test_fields_of_the_net_survive_but_for_the_path_it_started_from(tmp_path: Path) -> None:
    for i, net in enumerate((NET, replace(NET, stem="cifar", width=2), replace(NET, backbone="resnet50", stem="imagenet", zero_init_residual=True))):
        write(tmp_path / str(i), net)
        assert load(tmp_path / str(i)).net == net
    write(tmp_path / "f", replace(NET, init="/home/someone/run"))
    assert load(tmp_path / "f").net == NET
    assert b"someone" not in (tmp_path / "f").read_bytes()
