"""Sampling: torchvision's rule draw by draw, and the distributions of the papers' code."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor
from torchvision.transforms import ColorJitter, RandomResizedCrop

from stopgrad.config.run import View
from stopgrad.views.sample import ATTEMPTS, DRAWS, ViewParams, centre, sample, uniforms

SIMSIAM = View(size=224, scale=(0.2, 1.0), flip=0.5, jitter=(0.4, 0.4, 0.4, 0.1), jitter_p=0.8, grey=0.2, blur=0.5)
DRAWN = 4000


def sides(count: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    return torch.full((count,), height), torch.full((count,), width)


@pytest.fixture(scope="module")
def drawn() -> ViewParams:
    return sample(replace(SIMSIAM, solarise=0.3), uniforms(0, 0, 0, DRAWN), *sides(DRAWN, 375, 500))


def crop_by_hand(view: View, u: list[float], height: int, width: int) -> tuple[int, int, int, int]:
    """RandomResizedCrop.get_params, with its random numbers given."""
    log_low, log_high = math.log(view.ratio[0]), math.log(view.ratio[1])
    for area_u, ratio_u in zip(u[:ATTEMPTS], u[ATTEMPTS : 2 * ATTEMPTS], strict=True):
        area = height * width * (view.scale[0] + area_u * (view.scale[1] - view.scale[0]))
        ratio = math.exp(log_low + ratio_u * (log_high - log_low))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            return int(u[2 * ATTEMPTS] * (height - h + 1)), int(u[2 * ATTEMPTS + 1] * (width - w + 1)), h, w
    if width / height < view.ratio[0]:
        w, h = width, round(width / view.ratio[0])
    elif width / height > view.ratio[1]:
        w, h = round(height * view.ratio[1]), height
    else:
        w, h = width, height
    return (height - h) // 2, (width - w) // 2, h, w


@settings(max_examples=60, deadline=None)
@given(height=st.integers(1, 400), width=st.integers(1, 400), low=st.sampled_from([0.08, 0.2, 0.9]), seed=st.integers(0, 2**40))
def test_a_crop_is_torchvisions_for_the_same_random_numbers(height: int, width: int, low: float, seed: int) -> None:
    view = replace(SIMSIAM, scale=(low, 1.0))
    u = uniforms(seed, 0, 0, 8)
    params = sample(view, u, *sides(8, height, width))
    boxes = torch.stack((params.top, params.left, params.height, params.width), dim=1)
    assert boxes.tolist() == [list(crop_by_hand(view, row, height, width)) for row in u.tolist()]


@pytest.mark.parametrize(("height", "width", "box"), [(10, 1000, (0, 493, 10, 13)), (1000, 10, (493, 0, 13, 10)), (1, 1, (0, 0, 1, 1))])
def test_where_no_crop_fits_the_central_one_is_taken(height: int, width: int, box: tuple[int, ...]) -> None:
    params = sample(replace(SIMSIAM, scale=(0.99, 1.0)), uniforms(0, 0, 0, 20), *sides(20, height, width))
    boxes = torch.stack((params.top, params.left, params.height, params.width), dim=1)
    assert torch.equal(boxes, torch.tensor(box).expand(20, 4))


def test_crops_are_distributed_as_torchvisions(drawn: ViewParams) -> None:
    torch.manual_seed(1)
    image = torch.empty(1, 375, 500)
    theirs = torch.tensor([RandomResizedCrop.get_params(image, [0.2, 1.0], [3 / 4, 4 / 3]) for _ in range(DRAWN)]).double()
    ours = torch.stack((drawn.top, drawn.left, drawn.height, drawn.width), dim=1).double()
    for name, of in {
        "area": lambda box: box[:, 2] * box[:, 3],
        "ratio": lambda box: box[:, 3] / box[:, 2],
        "top": lambda box: box[:, 0],
        "left": lambda box: box[:, 1],
        "room above": lambda box: box[:, 0] / (375 - box[:, 2]).clamp_min(1),
    }.items():
        assert stats.ks_2samp(of(ours), of(theirs)).pvalue > 0.01, name


def test_the_jitter_is_distributed_as_torchvisions(drawn: ViewParams) -> None:
    torch.manual_seed(2)
    theirs = [ColorJitter.get_params([0.6, 1.4], [0.6, 1.4], [0.6, 1.4], [-0.1, 0.1]) for _ in range(DRAWN)]
    for column in range(4):
        assert stats.ks_2samp(drawn.factors[:, column], [draw[1 + column] for draw in theirs]).pvalue > 0.01
    orders = np.unique(drawn.order.numpy(), axis=0, return_counts=True)
    assert len(orders[0]) == 24
    assert stats.chisquare(orders[1]).pvalue > 0.01
    assert np.corrcoef(drawn.factors.T.numpy())[np.triu_indices(4, 1)] == pytest.approx(0, abs=0.05)


def test_probabilities_and_sigma_are_the_papers(drawn: ViewParams) -> None:
    blurred = drawn.sigma > 0
    for mask, share in ((drawn.flip, 0.5), (drawn.jitter, 0.8), (drawn.grey, 0.2), (blurred, 0.5), (drawn.solarise, 0.3)):
        assert stats.binomtest(int(mask.sum()), DRAWN, share).pvalue > 0.01
    assert stats.kstest(drawn.sigma[blurred], stats.uniform(0.1, 1.9).cdf).pvalue > 0.01
    decisions = torch.stack((drawn.flip, drawn.jitter, drawn.grey, blurred, drawn.solarise)).numpy()
    assert np.corrcoef(decisions)[np.triu_indices(5, 1)] == pytest.approx(0, abs=0.05)


def test_strengths_above_one_do_not_give_negative_factors() -> None:
    params = sample(replace(SIMSIAM, jitter=(1.5, 1.5, 1.5, 0.5)), uniforms(0, 0, 0, 500), *sides(500, 8, 8))
    low, high = params.factors.amin(0), params.factors.amax(0)
    assert low[:3].amin() >= 0
    assert high[:3].tolist() == pytest.approx([2.5] * 3, abs=0.02)
    assert [low[3], high[3]] == pytest.approx([-0.5, 0.5], abs=0.01)


def test_no_strength_no_probability_changes_nothing() -> None:
    none = View(size=8, scale=(1.0, 1.0), ratio=(1.0, 1.0), flip=0, jitter=(0, 0, 0, 0), jitter_p=1, grey=0, blur=0)
    params = sample(none, uniforms(0, 0, 0, 50), *sides(50, 12, 12))
    assert params.factors.unique(dim=0).tolist() == [[1, 1, 1, 0]]
    assert not (params.flip | params.grey | (params.sigma > 0) | params.solarise).any()
    assert torch.stack((params.top, params.left, params.height, params.width), dim=1).unique(dim=0).tolist() == [[0, 0, 12, 12]]


def test_every_draw_of_a_float32_table_stays_in_range() -> None:
    highest = torch.full((1, DRAWS), float(np.nextafter(np.float32(1), np.float32(0))))
    params = sample(SIMSIAM, highest, *sides(1, 300, 301))
    assert params.order[0].sort().values.tolist() == [0, 1, 2, 3]
    assert params.top + params.height <= 300
    assert params.left + params.width <= 301


def test_the_centre_is_resize_and_centre_crop_in_one() -> None:
    params = centre(224, torch.tensor([375, 256, 1, 32]), torch.tensor([500, 256, 3, 32]), 224 / 256)
    boxes = torch.stack((params.top, params.left, params.height, params.width), dim=1)
    assert boxes.tolist() == [[23, 86, 328, 328], [16, 16, 224, 224], [0, 1, 1, 1], [2, 2, 28, 28]]
    assert not (params.flip | params.jitter | params.grey | (params.sigma > 0) | params.solarise).any()


def test_rows_and_concat_take_and_join_whole_rows() -> None:
    params = sample(SIMSIAM, uniforms(0, 0, 0, 6), *sides(6, 40, 50))
    again = params.rows(slice(0, 2)).concat(params.rows(torch.tensor([2, 5])))
    assert (len(again), again.size) == (4, 224)
    for name, column in vars(again).items():
        if isinstance(column, Tensor):
            assert torch.equal(column, vars(params)[name][[0, 1, 2, 5]]), name
    with pytest.raises(AssertionError, match="different sizes"):
        params.concat(replace(params, size=32))
