import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from stopgrad.config.protocols import LINEAR, Knn, Lbfgs
from stopgrad.config.transfer import Svm
from stopgrad.images.pool import Pool
from stopgrad.protocols.cache import FeatureCache
from stopgrad.protocols.features import Labelled, Pixels, Preparation, features
from stopgrad.protocols.judge import Settings, Subject, judge

CPU = torch.device("cpu")


class Counting(nn.Module):
    """Counts how often it is asked."""

    def __init__(self, inside: nn.Module) -> None:
        super().__init__()
        self.inside = inside
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        found: Tensor = self.inside(x)
        return found


@pytest.fixture
def images(bright: tuple[Pool, Tensor]) -> Labelled:
    return replace(Labelled.resident(*bright), identify=lambda: "bright")


@pytest.fixture
def counting(small: nn.Module) -> Counting:
    return Counting(small)


def test_the_second_time_nothing_is_computed_and_the_bits_are_the_same(
    counting: Counting, images: Labelled, prep: Preparation, tmp_path: Path
) -> None:
    told: list[str] = []
    cache = FeatureCache(tmp_path / "features", tell=told.append)
    plain = features(counting, images, prep, CPU)
    first, second = (cache.features(counting, images, prep, CPU) for _ in range(2))
    assert counting.calls == 2
    assert torch.equal(plain, first)
    assert torch.equal(plain, second)
    assert (second.dtype, second.shape) == (torch.float32, (60, 8))
    assert told == []


@pytest.mark.parametrize("settings", [Knn(k=5), Lbfgs(), Svm(costs=(1.0,)), replace(LINEAR["moco"], lr=1.0, epochs=1)], ids=lambda s: s.protocol)
def test_protocols_find_the_same(settings: Settings, small: nn.Module, images: Labelled, prep: Preparation, tmp_path: Path) -> None:
    plain = Subject(featuriser=small, train=images, test=images, classes=3, prep=prep, device=CPU)
    cached = [judge(settings, replace(plain, cache=FeatureCache(tmp_path))).score for _ in range(2)]
    assert cached == [judge(settings, plain).score] * 2


def test_what_decides_the_features_decides_the_file(counting: Counting, images: Labelled, prep: Preparation, tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path)

    def computed(network: Counting, of: Labelled, prepared: Preparation) -> bool:
        before = network.calls
        found = cache.features(network, of, prepared, CPU)
        assert torch.equal(found, features(network, of, prepared, CPU))
        return network.calls - before == 2  # one for the comparison

    assert computed(counting, images, prep)
    assert not computed(counting, images, prep)
    assert computed(counting, replace(images, identify=lambda: "other"), prep)
    assert computed(counting, images, replace(prep, size=6))
    assert computed(counting, images, replace(prep, mean=(0.4,)))
    assert computed(Counting(Pixels(1, 8, side=2)), images, prep)
    assert computed(Counting(Pixels(1, 8, side=3)), images, prep)
    with torch.no_grad():
        counting.inside.bn.running_mean.add_(0.1)  # type: ignore[union-attr, operator]
    assert computed(counting, images, prep)


def test_images_that_nobody_knows_are_not_kept(small: nn.Module, images: Labelled, prep: Preparation, tmp_path: Path) -> None:
    FeatureCache(tmp_path).features(small, replace(images, identify=None), prep, CPU)
    assert list(tmp_path.iterdir()) == []


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def turned(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def foreign(file: Path) -> None:
    save_file({"features": torch.zeros(60, 8)}, file)


def other(file: Path) -> None:
    save_file({"something": torch.zeros(60, 8)}, file)


@pytest.mark.parametrize(("damage", "said"), [(cut, "cannot be read"), (turned, "damaged"), (foreign, "damaged"), (other, "damaged")])
def test_damaged_and_foreign_files_are_said_and_made_anew(
    damage: object, said: str, small: nn.Module, images: Labelled, prep: Preparation, tmp_path: Path
) -> None:
    told: list[str] = []
    cache = FeatureCache(tmp_path, tell=told.append)
    first = cache.features(small, images, prep, CPU)
    (file,) = tmp_path.iterdir()
    assert callable(damage)
    damage(file)
    assert torch.equal(cache.features(small, images, prep, CPU), first)
    (line,) = told
    assert said in line
    assert line.endswith("its features are computed again")
    assert torch.equal(load_file(file)["features"], first)
    assert torch.equal(cache.features(small, images, prep, CPU), first)
    assert len(told) == 1


def test_what_was_longest_not_used_goes_first(counting: Counting, images: Labelled, prep: Preparation, tmp_path: Path) -> None:
    parts = [replace(images, identify=lambda name=name: name) for name in "abcd"]
    (tmp_path / "notes.txt").write_text("mine")
    cache = FeatureCache(tmp_path)
    cache.features(counting, parts[0], prep, CPU)
    (one,) = tmp_path.glob("features-*")
    three = FeatureCache(tmp_path, limit=3 * one.stat().st_size)
    os.utime(one, (1, 1))
    for part, age in ((parts[1], 2), (parts[2], 3)):
        before = set(tmp_path.iterdir())
        three.features(counting, part, prep, CPU)
        (new,) = set(tmp_path.iterdir()) - before
        os.utime(new, (age, age))
    three.features(counting, parts[0], prep, CPU)  # used again: now the newest
    three.features(counting, parts[3], prep, CPU)  # b must go
    calls = counting.calls
    assert calls == 4
    for part in (parts[0], parts[2], parts[3]):
        three.features(counting, part, prep, CPU)
    assert counting.calls == calls
    three.features(counting, parts[1], prep, CPU)
    assert counting.calls == calls + 1
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert len(list(tmp_path.glob("features-*"))) == 3


def test_what_cannot_be_kept_is_said_and_used(small: nn.Module, images: Labelled, prep: Preparation, tmp_path: Path) -> None:
    told: list[str] = []
    plain = features(small, images, prep, CPU)
    assert torch.equal(FeatureCache(tmp_path / "small", limit=100, tell=told.append).features(small, images, prep, CPU), plain)
    (tmp_path / "file").write_text("in the way")
    assert torch.equal(FeatureCache(tmp_path / "file", tell=told.append).features(small, images, prep, CPU), plain)
    assert "are not kept: " in told[0]
    assert "features are not kept: " in told[1]
    assert not (tmp_path / "small").exists()
