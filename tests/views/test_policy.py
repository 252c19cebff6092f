"""AutoAugment against torchvision's, for every sub-policy and sign."""

from itertools import product

import pytest
import torch
from scipy import stats
from torch import Tensor
from torchvision.transforms import AutoAugment, AutoAugmentPolicy, v2

from stopgrad.views.policy import OPERATIONS, SIGNED, TOP, draw_acts, follow

THEIRS = {"imagenet": AutoAugmentPolicy.IMAGENET, "cifar10": AutoAugmentPolicy.CIFAR10}
LEVELS = 2 * TOP + 1


def uniform(which: int, done: tuple[float, float], signs: tuple[int, int]) -> list[float]:
    """The uniforms of a sub-policy; signs as torchvision draws them: 0 is negative."""
    return [(which + 0.5) / 25, *done, *(0.25 + sign / 2 for sign in signs)]


def theirs(policy: str, which: int, pixels: Tensor, signs: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> Tensor:
    """What torchvision makes of an image by a sub-policy, both operations done where they can be; what it would draw is given."""
    transform = v2.AutoAugment(THEIRS[policy])
    draws = []
    for (name, chance, _), sign in zip(AutoAugment(THEIRS[policy]).policies[which], signs, strict=True):
        draws += [0.0 if chance else 1.0, *([float(sign)] if name in SIGNED and chance else [])]
    given = iter(draws)
    with monkeypatch.context() as patch:
        patch.setattr(torch, "randint", lambda *_: torch.tensor(which))
        patch.setattr(torch, "rand", lambda *_: torch.tensor(next(given)))
        made: Tensor = transform(pixels)
    assert next(given, None) is None
    return made


@pytest.mark.parametrize("policy", THEIRS)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("signs", list(product((0, 1), repeat=2)))
def test_every_sub_policy_is_torchvisions(policy: str, channels: int, signs: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """To the last bit of 8, all 25 in one batch as one by one."""
    pixels = torch.randint(0, 256, (25, channels, 30, 30), generator=torch.Generator().manual_seed(channels), dtype=torch.uint8)
    pixels[::3] = pixels[::3] // 4 + 60  # what contrast and equalisation have something to do with
    acts = draw_acts(policy, torch.tensor([uniform(i, (0.0, 0.0), signs) for i in range(25)]).double())
    ours = follow(pixels / 255, acts)
    for i in range(25):
        assert torch.equal((ours[i] * 255).round().to(torch.uint8), theirs(policy, i, pixels[i], signs, monkeypatch)), i
        assert torch.equal(follow(pixels[i : i + 1] / 255, acts[i : i + 1]), ours[i : i + 1])


@pytest.mark.parametrize("policy", THEIRS)
def test_sub_policies_are_as_frequent_and_their_operations_as_probable_as_published(policy: str) -> None:
    drawn = torch.rand(50_000, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    acts, which = draw_acts(policy, drawn), (drawn[:, 0] * 25).long()
    assert stats.chisquare(torch.bincount(which)).pvalue > 0.01
    for i, sub_policy in enumerate(AutoAugment(THEIRS[policy]).policies):
        for turn, (name, chance, level) in enumerate(sub_policy):
            mine = acts[which == i, turn]
            assert stats.binomtest(int((mine >= 0).sum()), len(mine), chance).pvalue > 1e-4
            done = mine[mine >= 0]
            assert {OPERATIONS[act // LEVELS] for act in done.tolist()} <= {name}
            signed = name in SIGNED and level
            assert {act % LEVELS - TOP for act in done.tolist()} <= ({level, -level} if signed else {level or 0})


def test_without_an_act_an_image_is_left_alone_to_the_bit() -> None:
    x = torch.rand(3, 3, 9, 9)
    assert follow(x, draw_acts(None, torch.rand(3, 5))) is x
    acts = torch.tensor([[-1, -1], [-1, OPERATIONS.index("Invert") * LEVELS + TOP], [-1, -1]])
    made = follow(x, acts)
    assert torch.equal(made[[0, 2]], x[[0, 2]])
    assert (made[1] - (1 - x[1])).abs().max() <= 0.5 / 255 + 1e-6
