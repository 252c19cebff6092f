"""What only few views have: each operation against SciPy, torchvision or a closed form, and a view as a function of its own row alone."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as tv
from scipy import ndimage, stats
from torch import Tensor

from stopgrad.config.run import View
from stopgrad.images.pool import Pool
from stopgrad.views import ops
from stopgrad.views.policy import follow
from stopgrad.views.render import render, render_selected
from stopgrad.views.sample import SHARED_RATIO, ViewParams, sample, uniforms

PLAIN = View(size=24, scale=(1.0, 1.0), flip=0.0, jitter=(0.4, 0.4, 0.4, 0.1), jitter_p=0.0, grey=0.0, blur=0.0)
ALL = replace(PLAIN, scale=(0.2, 1.0), flip=0.5, jitter_p=0.8, grey=0.2, blur=0.5, rotate=0.5, policy="imagenet", sobel=0.3, noise=0.5, cutout=0.5)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
DRAWN = 4000


def pool(channels: int = 3, side: int = 24) -> Pool:
    random = np.random.default_rng(channels)
    return Pool.from_arrays([random.integers(0, 256, (channels, side, side), dtype=np.uint8) for _ in range(40)])


def seen(images: Pool, view: View, **columns: Tensor) -> tuple[ViewParams, Tensor]:
    """Return the parameters of one view of each image, ``columns`` of the further ones in place of those drawn, and the view in 0..1."""
    rows = torch.arange(len(images))
    params = sample(view, uniforms(0, 0, 0, len(rows), view.further), images.heights, images.widths)
    if columns:
        assert params.further is not None
        params = replace(params, further=replace(params.further, **columns))
    return params, render(images, rows, params, (0.0,), (1.0,))


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_sobel_is_scipys_of_the_grey_image(channels: int) -> None:
    x = torch.rand(6, channels, 20, 20, generator=torch.Generator().manual_seed(channels)) / 3
    grey = tv.rgb_to_grayscale(x)[:, 0] if channels == 3 else x.mean(1)
    for made, image in zip(ops.sobel(x), grey.double().numpy(), strict=True):
        edges = np.hypot(*(ndimage.sobel(image, axis, mode="nearest") for axis in (0, 1))) / 4
        assert edges.max() < 1
        assert np.abs(made.numpy() - edges).max() < 2e-6


def test_sobel_is_one_where_black_borders_on_white_and_not_more() -> None:
    x = torch.zeros(2, 1, 6, 6)
    x[0, :, :, 3:] = 1
    x[1] = torch.triu(torch.ones(6, 6))
    straight, slanting = ops.sobel(x)[:, 0]
    assert straight[:, 2:4].unique().tolist() == [1]
    assert straight[:, [0, 1, 4, 5]].unique().tolist() == [0]
    assert slanting.max() == 1


def test_noise_is_normal_and_no_value_tells_of_another() -> None:
    x, sigma = torch.full((64, 3, 24, 24), 0.5), torch.full((64,), 0.05)
    seed = (uniforms(0, 0, 0, 64)[:, 0] * 2**53).long()
    made = (ops.noise(x, sigma, seed) - 0.5) / 0.05
    assert stats.kstest(made.flatten().double(), "norm").pvalue > 0.01
    values = made.double().numpy()
    limit = 4 / np.sqrt(values.size)
    for a, b in (
        (values[1:], values[:-1]),
        (values[:, 1:], values[:, :-1]),
        (values[:, :, 1:], values[:, :, :-1]),
        (values[..., 1:], values[..., :-1]),
    ):
        for way in (lambda v: v, np.abs):
            assert abs(np.corrcoef(way(a).ravel(), way(b).ravel())[0, 1]) < limit


def test_seeds_that_differ_in_one_bit_share_no_noise() -> None:
    x, sigma = torch.full((54, 1, 64, 64), 0.5), torch.full((54,), 0.05)
    made = ops.noise(x, sigma, torch.cat((torch.zeros(1, dtype=torch.int64), 2 ** torch.arange(53)))).flatten(1).double().numpy()
    assert np.abs(np.corrcoef(made)[np.triu_indices(54, 1)]).max() < 5 / 64


def mixed(word: int) -> int:
    word = ((word ^ word >> 16) * 0x21F0AAAD) % 2**32
    word = ((word ^ word >> 15) * 0x735A2D97) % 2**32
    return word ^ word >> 15


def test_noise_is_these_values_on_every_machine_and_stays_in_range() -> None:
    """A change here changes every run with noise that is resumed or repeated: name it in the changelog."""
    x, seeds = torch.full((3, 2, 5, 7), 0.5), (1, 2**40 + 12345, 2**53 - 1)
    made = (ops.noise(x, torch.full((3,), 0.05), torch.tensor(seeds)) - 0.5) / 0.05
    words = [[mixed(mixed(place ^ seed % 2**32) ^ seed >> 32) for place in range(70)] for seed in seeds]
    expected = stats.norm.ppf((np.array(words) // 2**8 + 0.5) / 2**24)
    assert np.abs(made.flatten(1).numpy() - expected).max() < 1e-4
    strong = ops.noise(x, torch.full((3,), 5.0), torch.tensor(seeds))
    assert (strong.min(), strong.max()) == (0, 1)


def test_turns_are_numpys_quarter_turns() -> None:
    images = pool()
    turns = torch.arange(40) % 4
    _, views = seen(images, replace(PLAIN, rotate=1.0), turns=turns)
    for i, view in enumerate(views):
        assert np.abs(view.numpy() - np.rot90(images.image(i).numpy() / 255, int(turns[i]), (1, 2))).max() < 1e-6


def test_what_is_cut_out_is_the_mean_and_the_rest_is_as_it_was() -> None:
    images = pool()
    view = replace(PLAIN, cutout=1.0, cutout_side=0.25)
    params, _ = seen(images, view)
    rows = torch.arange(40)
    views = render(images, rows, params, MEAN, STD)
    whole = render(images, rows, replace(params, further=None), MEAN, STD)
    assert params.further is not None
    for i, (top, bottom, left, right) in enumerate(params.further.cut.tolist()):
        assert views[i, :, top:bottom, left:right].unique().tolist() == [0]
        views[i, :, top:bottom, left:right] = whole[i, :, top:bottom, left:right]
    assert (views - whole).abs().max() < 1e-6
    assert views.is_contiguous(memory_format=torch.channels_last)


def test_the_middle_of_what_is_cut_out_is_any_pixel() -> None:
    """The published rule: the square reaches over the border where its middle lies near it. Along a line of n a side of s then loses
    on average k (k + 1) / 2n on one end, k = s // 2, and on the other the same of k = s - 1 - s // 2."""
    further = sample(replace(PLAIN, cutout=1.0), uniforms(0, 0, 0, DRAWN, True), *[torch.full((DRAWN,), 32)] * 2).further
    assert further is not None
    top, bottom, left, right = further.cut.unbind(1)
    n, s = 24, 12
    lost = [k * (k + 1) / 2 / n for k in (s // 2, s - 1 - s // 2)]
    for first, end in ((top, bottom), (left, right)):
        assert (int(first.min()), int(end.max())) == (0, n)
        sides = (end - first).double()
        assert float(sides.mean()) == pytest.approx(s - sum(lost), abs=4 * float(sides.std()) / DRAWN**0.5)
        assert stats.chisquare(torch.bincount(first, minlength=19)[1:18]).pvalue > 0.01
    assert abs(np.corrcoef(top, left)[0, 1]) < 0.06


def test_each_is_as_frequent_as_it_is_to_be_and_depends_on_no_other() -> None:
    view = replace(PLAIN, rotate=0.4, sobel=0.3, noise=0.6, noise_sigma=(0.05, 0.1), cutout=0.2)
    further = sample(view, uniforms(0, 0, 0, DRAWN, True), *[torch.full((DRAWN,), 32)] * 2).further
    assert further is not None
    decisions = (further.turns > 0, further.sobel, further.noise > 0, further.cut.any(1))
    for mask, share in zip(decisions, (0.4, 0.3, 0.6, 0.2), strict=True):
        assert stats.binomtest(int(mask.sum()), DRAWN, share).pvalue > 0.01
    assert np.corrcoef(torch.stack(decisions).numpy())[np.triu_indices(4, 1)] == pytest.approx(0, abs=0.05)
    assert stats.chisquare(torch.bincount(further.turns)[1:]).pvalue > 0.01
    assert stats.kstest(further.noise[further.noise > 0], stats.uniform(0.05, 0.05).cdf).pvalue > 0.01
    assert len(further.seed.unique()) == DRAWN
    assert int(further.acts.max()) == -1


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("form", [render, render_selected])
def test_a_view_is_a_function_of_its_own_row(channels: int, form: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bit for bit, whatever is rendered with it, by whichever kernels those of all views are."""
    if form is render_selected:
        monkeypatch.setattr("stopgrad.views.fused.render_fused", form)
    images, mean, std = pool(channels), MEAN[:channels], STD[:channels]
    rows = torch.arange(40)
    params = sample(ALL, uniforms(1, 2, 3, 40, True), images.heights, images.widths)
    whole = render(images, rows, params, mean, std)
    for some in (torch.tensor([3, 39, 11]), torch.arange(17), torch.tensor([20])):
        alone = render(images, rows[some], params.rows(some), mean, std)
        if form is render:
            assert torch.equal(alone, whole[some])
        else:  # torch's own products of matrices round differently in batches of another size
            assert (alone - whole[some]).abs().quantile(0.99) < 1e-5
    assert render(images, rows[:0], params.rows(slice(0, 0)), mean, std).shape == (0, channels, 24, 24)


def test_the_operations_come_in_their_order() -> None:
    """As if each were done alone, one after the other, on what the kernels make of the view."""
    images, rows = pool(), torch.arange(40)
    params = sample(ALL, uniforms(1, 2, 3, 40, True), images.heights, images.widths)
    further = params.further
    assert further is not None
    whole = render(images, rows, replace(params, further=None), (0.0,), (1.0,))
    for i, x in enumerate(whole):
        x = x[None].rot90(int(further.turns[i]), (2, 3))
        x = follow(x, further.acts[i : i + 1])
        x = ops.sobel(x) if further.sobel[i] else x
        x = ops.noise(x, further.noise[i : i + 1], further.seed[i : i + 1]) if further.noise[i] else x
        x = ops.cut_out(ops.normalise(x, MEAN, STD), further.cut[i : i + 1])
        assert (render(images, rows[i : i + 1], params.rows(slice(i, i + 1)), MEAN, STD) - x).abs().max() < 1e-6


def test_two_views_share_their_crop_and_lie_within_it() -> None:
    whole = replace(PLAIN, shared_crop=(0.08, 1.0))
    inner = replace(whole, scale=(0.3, 0.3))
    heights, widths = torch.randint(50, 400, (2, DRAWN), generator=torch.Generator().manual_seed(0))
    first, second = (sample(view, uniforms(0, 5, i, DRAWN, True), heights, widths) for i, view in enumerate((whole, inner)))
    alone = sample(replace(PLAIN, scale=(0.08, 1.0), ratio=SHARED_RATIO), uniforms(0, 5, 0, DRAWN), heights, widths)
    apart = sample(whole, uniforms(0, 6, 0, DRAWN, True), heights, widths)
    area = (first.height * first.width).double() / (heights * widths)
    assert stats.ks_2samp(area, (alone.height * alone.width).double() / (heights * widths)).pvalue > 0.01
    assert (first.height == apart.height).float().mean() < 0.1, "another step has another crop"
    for low, size, inside, length in ((first.top, first.height, second.top, second.height), (first.left, first.width, second.left, second.width)):
        assert bool(((inside >= low - 1) & (inside + length <= low + size + 1)).all())
    share = (second.height * second.width) / (first.height * first.width)
    assert float((share - 0.3).abs().median()) < 0.01
    again = sample(whole, uniforms(0, 5, 7, DRAWN, True), heights, widths)
    assert float(((first.top - again.top).abs() + (first.width - again.width).abs()).double().mean()) < 0.5, "the same but for a pixel in rounding"


def test_a_whole_equal_image_is_seen_as_it_is() -> None:
    images = pool()
    assert (seen(images, PLAIN)[1] - images.planes(torch.arange(40)) / 255).abs().max() < 1e-6
