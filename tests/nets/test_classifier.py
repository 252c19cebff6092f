import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from stopgrad.config import Net
from stopgrad.errors import UserError
from stopgrad.nets.backbones import Backbone, build, wrap
from stopgrad.nets.classifier import ENTRY, About, Classifier, Reading, classifier_on, load_classifier, save_classifier
from stopgrad.nets.files import digest, digest_of, load
from stopgrad.nets.files import save as save_backbone
from stopgrad.nets.foreign import Foreign, open_own
from stopgrad.nets.heads import mlp

NET = Net(backbone="resnet10", stem="small", width=4, zero_init_residual=False, init="/somewhere/private")
ABOUT = About(net=NET, size=16, share=0.875, mean=(0.5,), std=(0.25,), classes=("cat", "dog", "hen"), outputs="softmax", extra={"step": "7"})


def tiny(head: int = 0) -> Classifier:
    """With layers of a projector: as ``inside.with_head`` hands them out."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        backbone = build(NET, 1, 16)
        if head:
            projector = mlp((backbone.features, *(12,) * head), hidden_bn=True, output_bn=True, output_affine=False)
            backbone = Backbone(nn.Sequential(backbone, projector), 12, 1)
    return classifier_on(backbone, 3, "normal", seed=0)


@pytest.mark.parametrize("head", [0, 1, 2])
def test_what_is_saved_is_loaded(head: int, tmp_path: Path) -> None:
    network, images = tiny(head), torch.randn(4, 1, 16, 16)
    network.train()(images)  # moves BN's statistics
    save_classifier(tmp_path / "classifier.safetensors", network, ABOUT)
    before = torch.get_rng_state()
    found = load_classifier(tmp_path / "classifier.safetensors")
    assert torch.equal(torch.get_rng_state(), before)
    assert found.network.layers == network.layers == head
    assert torch.equal(found.network(images), network.eval()(images))
    assert {k: v for k, v in vars(found).items() if k not in ("network", "sha256")} == vars(replace(ABOUT, net=replace(NET, init=None)))
    assert not found.network.training


def test_a_file_says_what_its_logits_are_of(tmp_path: Path) -> None:
    """One of a softmax is as it was before there were others; one of sigmoids has a form that whoever takes all for a softmax's cannot read."""
    for outputs, form in (("softmax", 1), ("sigmoid", 2)):
        path = tmp_path / outputs
        save_classifier(path, tiny(), replace(ABOUT, outputs=outputs))
        assert load_classifier(path).outputs == outputs
        with safe_open(path, "pt") as file:
            record = json.loads(file.metadata()[ENTRY])
        assert record["form"] == form
        assert record.get("outputs") == (outputs if form == 2 else None)


@pytest.mark.parametrize("reading", [None, Reading(short_side=None, max_pixels=9), Reading(short_side=19, max_pixels=64_000_000)])
def test_a_file_says_how_images_are_read(reading: Reading | None, tmp_path: Path) -> None:
    save_classifier(tmp_path / "c", tiny(), replace(ABOUT, reading=reading))
    assert load_classifier(tmp_path / "c").reading == reading


@pytest.mark.parametrize(
    ("head", "left"), [(0, "the classifier (fc) is left out"), (2, "the classifier (fc) and the 2 layers below it (head) are left out")]
)
def test_its_backbone_is_taken_from_it(head: int, left: str, tmp_path: Path) -> None:
    network = tiny(head)
    save_classifier(tmp_path / "c", network, ABOUT)
    found = open_own(tmp_path / "c")
    assert isinstance(found, Foreign)
    assert found.notes == (f"{tmp_path / 'c'}: a network that was fine-tuned to 3 classes; its backbone is taken, {left}",)
    assert found.sha256 == digest(network.backbone) == digest(found.backbone)
    assert (found.net, found.size, found.channels, found.mean) == (replace(NET, init=None), 16, 1, (0.5,))
    assert all(part.training for part in found.backbone.modules())


def test_a_weight_of_neither_backbone_head_nor_classifier_is_refused(tmp_path: Path) -> None:
    save_classifier(tmp_path / "c", tiny(), ABOUT)
    with safe_open(tmp_path / "c", "pt") as file:
        record = json.loads(file.metadata()[ENTRY])
    state = load_file(tmp_path / "c") | {"other.weight": torch.zeros(1)}
    save_file(state, tmp_path / "c", {ENTRY: json.dumps(record | {"sha256": digest_of(state)})})
    with pytest.raises(UserError, match=r"its weights do not fit a classifier: other\.weight"):
        load_classifier(tmp_path / "c")


def test_equal_networks_give_equal_files(tmp_path: Path) -> None:
    for place in ("a", "b"):
        save_classifier(tmp_path / place, tiny(1), ABOUT)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_what_the_weights_start_from() -> None:
    zero, normal = classifier_on(tiny().backbone, 500, "zero", 0), classifier_on(tiny().backbone, 500, "normal", 0)
    assert not zero.fc.weight.any()
    assert not zero.fc.bias.any()
    assert not normal.fc.bias.any()
    assert float(normal.fc.weight.detach().std()) == pytest.approx(0.01, rel=0.05)
    assert torch.equal(normal.fc.weight, classifier_on(tiny().backbone, 500, "normal", 0).fc.weight)


def test_a_module_of_ones_own_needs_a_fresh_one(tmp_path: Path) -> None:
    def own() -> nn.Module:
        return nn.Sequential(nn.Conv2d(1, 5, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())

    network = classifier_on(wrap(own(), 1, 16), 3, "normal", 0)
    save_classifier(tmp_path / "own", network, replace(ABOUT, net=None))
    images = torch.randn(2, 1, 16, 16)
    assert torch.equal(load_classifier(tmp_path / "own", own()).network(images), network(images))
    with pytest.raises(UserError, match="holds a module of your own, which stopgrad cannot build"):
        load_classifier(tmp_path / "own")


def test_the_two_kinds_of_files_are_not_mistaken(tmp_path: Path) -> None:
    network = tiny()
    save_classifier(tmp_path / "classifier", network, ABOUT)
    save_backbone(tmp_path / "backbone", network.backbone, NET, 16, (0.5,), (0.25,), {})
    with pytest.raises(UserError, match="not a backbone that stopgrad wrote"):
        load(tmp_path / "classifier")
    with pytest.raises(UserError, match=r"not a classifier that stopgrad wrote .*; fine-tune a backbone first"):
        load_classifier(tmp_path / "backbone")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"form": 3}, "written in form 3, this version of stopgrad reads forms 1 and 2"),
        ({"sha256": "0"}, "damaged"),
        ({"classes": None}, "its metadata is not what stopgrad writes"),
        ({"classes": ["a"]}, "its weights do not fit resnet10"),
        ({"head": [["eval", "1"]]}, r"its metadata is not what stopgrad writes \(a layer \['eval', '1'\]\)"),
    ],
    ids=["form", "digest", "no classes", "other classes", "unknown layer"],
)
def test_damaged_files_are_refused(change: dict[str, object], message: str, tmp_path: Path) -> None:
    path = tmp_path / "classifier"
    save_classifier(path, tiny(), ABOUT)
    with safe_open(path, "pt") as file:
        record = json.loads(file.metadata()[ENTRY])
    save_file(load_file(path), path, {ENTRY: json.dumps(record | change)})
    with pytest.raises(UserError, match=message):
        load_classifier(path)


def test_a_projector_of_other_layers_is_not_saved(tmp_path: Path) -> None:
    network = Classifier(tiny().backbone, nn.Sequential(nn.Linear(32, 4), nn.GELU()), 3)
    with pytest.raises(UserError, match=r"a projector with a GELU cannot be saved; tune from the backbone itself \(head=0\)"):
        save_classifier(tmp_path / "classifier", network, ABOUT)
