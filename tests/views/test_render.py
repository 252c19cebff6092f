"""Rendering: both forms against a slow chain of torchvision's functions, image by image."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as tv
from torch import Tensor

from stopgrad.config.run import View
from stopgrad.images.pool import Pool
from stopgrad.views.render import render, render_grouped, render_selected
from stopgrad.views.sample import ViewParams, centre, sample, uniforms

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BUSY = View(size=24, scale=(0.2, 1.0), flip=0.5, jitter=(0.4, 0.4, 0.4, 0.1), jitter_p=0.8, grey=0.2, blur=0.5, solarise=0.3)
TOLERANCE = 2e-5
"""After the division by a standard deviation of about 1/4; four operations that amplify, each within 2e-6 of torchvision's."""


def equal_pool(channels: int, dtype: type[np.uint8 | np.uint16] = np.uint8, side: int = 32) -> Pool:
    random = np.random.default_rng(channels)
    return Pool.from_arrays([random.integers(0, np.iinfo(dtype).max + 1, (channels, side, side)).astype(dtype) for _ in range(30)])


def ragged_pool(channels: int) -> Pool:
    random = np.random.default_rng(channels)
    sides = [(1, 1), (1, 50), (70, 3), *random.integers(5, 90, (27, 2)).tolist()]
    return Pool.from_arrays([random.integers(0, 256, (channels, height, width)).astype(np.uint8) for height, width in sides])


def some_rows(pool: Pool, view: View, count: int = 100) -> tuple[Tensor, ViewParams]:
    rows = torch.randint(0, len(pool), (count,), generator=torch.Generator().manual_seed(0))
    return rows, sample(view, uniforms(0, 0, 0, count), pool.heights[rows], pool.widths[rows])


def slowly(pool: Pool, rows: Tensor, params: ViewParams, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    adjust = (tv.adjust_brightness, tv.adjust_contrast, tv.adjust_saturation, tv.adjust_hue)
    views = []
    for i, row in enumerate(rows.tolist()):
        image = pool.image(row)
        box = (int(params.top[i]), int(params.left[i]), int(params.height[i]), int(params.width[i]))
        x = tv.resized_crop(image.float() / torch.iinfo(image.dtype).max, *box, size=[params.size, params.size], antialias=True)
        for op in params.order[i].tolist() if params.jitter[i] else ():
            x = adjust[op](x, float(params.factors[i, op]))
        x = tv.rgb_to_grayscale(x, num_output_channels=len(x)) if params.grey[i] else x
        sigma = float(params.sigma[i])
        x = tv.gaussian_blur(x, kernel_size=[3, 3], sigma=[sigma, sigma]) if sigma else x
        x = tv.solarize(x, threshold=0.5) if params.solarise[i] else x
        x = tv.horizontal_flip(x) if params.flip[i] else x
        views.append(tv.normalize(x, list(mean) * (len(x) // len(mean)), list(std) * (len(x) // len(std))))
    return torch.stack(views)


@pytest.mark.parametrize(
    ("pool", "mean", "std"),
    [
        (equal_pool(3), MEAN, STD),
        (equal_pool(1), (0.5,), (0.25,)),
        (equal_pool(3, np.uint16), (0.5,), (0.25,)),
        (equal_pool(3, side=130), MEAN, STD),
        (ragged_pool(3), MEAN, STD),
        (ragged_pool(1), (0.5,), (0.25,)),
    ],
    ids=["colour", "grey", "sixteen bits", "large", "ragged", "ragged grey"],
)
def test_the_whole_chain_is_torchvisions(pool: Pool, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
    rows, params = some_rows(pool, BUSY)
    expected = slowly(pool, rows, params, mean, std)
    for form in (render, render_grouped, render_selected):
        views = form(pool, rows, params, mean, std)
        assert (views.shape, views.dtype) == ((100, pool.channels, 24, 24), torch.float32)
        assert (views - expected).abs().max() < TOLERANCE


@pytest.mark.parametrize("channels", [2, 5])
def test_both_forms_agree_on_any_channels(channels: int) -> None:
    pool = equal_pool(channels)
    rows, params = some_rows(pool, BUSY)
    grouped, selected = (form(pool, rows, params, (0.5,), (0.25,)) for form in (render_grouped, render_selected))
    assert (grouped - selected).abs().max() < TOLERANCE


@pytest.mark.parametrize("chunk", [1, 7, 64, 1000])
def test_the_chunks_of_work_do_not_show(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = equal_pool(3)
    rows, params = some_rows(pool, BUSY)
    whole = render_grouped(pool, rows, params, MEAN, STD)
    monkeypatch.setattr("stopgrad.views.render._CHUNK_PIXELS", chunk * 24 * 24)
    assert (render_grouped(pool, rows, params, MEAN, STD) - whole).abs().max() < TOLERANCE


def test_two_views_in_one_call_are_the_two_calls() -> None:
    pool = equal_pool(3)
    rows, first = some_rows(pool, BUSY)
    second = sample(BUSY, uniforms(0, 0, 1, 100), pool.heights[rows], pool.widths[rows])
    together = render(pool, torch.cat((rows, rows)), first.concat(second), MEAN, STD)
    apart = torch.cat([render(pool, rows, params, MEAN, STD) for params in (first, second)])
    assert (together - apart).abs().max() < TOLERANCE


def test_evaluation_sees_the_pixels_as_they_are() -> None:
    pool = equal_pool(3)
    rows = torch.arange(30)
    views = render(pool, rows, centre(32, pool.heights, pool.widths, 1.0), (0.5,), (0.25,))
    assert (views - (pool.planes(rows) / 255 - 0.5) / 0.25).abs().max() < 2e-6


def test_the_pixels_are_left_alone() -> None:
    pool = equal_pool(3)
    before = pool.buffer.clone()
    rows, params = some_rows(pool, BUSY)
    render_grouped(pool, rows, params, MEAN, STD)
    render_selected(pool, rows, params, MEAN, STD)
    assert torch.equal(pool.buffer, before)
