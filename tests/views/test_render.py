"""Rendering: both forms against a slow chain of torchvision's functions, image by image."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as tv
from torch import Tensor

from stopgrad.config.run import View
from stopgrad.errors import UserError
from stopgrad.images.pool import Pool
from stopgrad.views import fused
from stopgrad.views.fused import render_fused
from stopgrad.views.render import render, render_selected
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
    for form in (render, render_fused, render_selected):
        views = form(pool, rows, params, mean, std)
        assert (views.shape, views.dtype) == ((100, pool.channels, 24, 24), torch.float32)
        assert (views - expected).abs().max() < TOLERANCE


@pytest.mark.parametrize("channels", [2, 5])
def test_both_forms_agree_on_any_channels(channels: int) -> None:
    pool = equal_pool(channels)
    rows, params = some_rows(pool, BUSY)
    fused, selected = (form(pool, rows, params, (0.5,), (0.25,)) for form in (render_fused, render_selected))
    assert (fused - selected).abs().max() < TOLERANCE


@pytest.mark.parametrize("threads", [1, 2, 3, 7])
def test_threads_and_neighbours_do_not_show(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bit for bit: a view is a function of its own row, whatever is rendered with it. On a CPU N processes see what one sees."""
    pool = equal_pool(3)
    rows, params = some_rows(pool, BUSY)
    whole = render(pool, rows, params, MEAN, STD)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert torch.equal(render(pool, rows, params, MEAN, STD), whole)
    some = torch.tensor([3, 99, 41])
    assert torch.equal(render(pool, rows[some], params.rows(some), MEAN, STD), whole[some])


def test_views_lie_as_convolutions_want_them() -> None:
    pool = equal_pool(3)
    rows, params = some_rows(pool, BUSY)
    assert render(pool, rows, params, MEAN, STD).is_contiguous(memory_format=torch.channels_last)
    assert render(pool, rows[:0], params.rows(slice(0, 0)), MEAN, STD).shape == (0, 3, 24, 24)


@pytest.mark.parametrize(("size", "side"), [(8, 20), (9, 700), (45, 9), (230, 300)])
def test_any_size_from_any_size(size: int, side: int) -> None:
    """Strong shrinking, strong growing, a blur of every width, the crop of a single pixel."""
    view = replace(BUSY, size=size, blur=1.0, scale=(1e-6, 1.0), ratio=(0.05, 20.0))
    random = np.random.default_rng(0)
    pool = Pool.from_arrays([random.integers(0, 256, (3, side, side + 2), dtype=np.uint8) for _ in range(4)])
    rows, params = some_rows(pool, view, 40)
    assert (render(pool, rows, params, MEAN, STD) - render_selected(pool, rows, params, MEAN, STD)).abs().max() < TOLERANCE


def test_every_processor_makes_the_same_views(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bit for bit. What was compiled for lesser ones runs here too."""
    pool = equal_pool(3)
    rows, params = some_rows(pool, BUSY)
    whole = render(pool, rows, params, MEAN, STD)
    here = torch.backends.cpu.get_cpu_capability().lower()
    built = sorted(Path(fused.__file__).parent.glob("kernels-*.so"))
    order = ["default", "avx2", "avx512"]
    runs = [kind for kind in (path.stem.removeprefix("kernels-") for path in built) if here not in order or order.index(kind) <= order.index(here)]
    assert "default" in runs
    for kind in runs:
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda kind=kind: kind.upper())
        fused.kernels.cache_clear()
        assert torch.equal(render(pool, rows, params, MEAN, STD), whole)
    fused.kernels.cache_clear()


@pytest.mark.parametrize(("change", "said"), [(None, "was not built"), ("/* another */", "was compiled from another kernels.c")])
def test_a_missing_or_an_old_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str | None, said: str) -> None:
    here = Path(fused.__file__).parent
    for path in (here / "kernels.c", *here.glob("kernels-*.so")) if change else ():
        shutil.copy(path, tmp_path)
    if change:
        with (tmp_path / "kernels.c").open("a") as source:
            source.write(change)
    monkeypatch.setattr(fused, "__file__", str(tmp_path / "fused.py"))
    fused.kernels.cache_clear()
    with pytest.raises(UserError, match=said):
        fused.kernels()
    fused.kernels.cache_clear()


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
    render_fused(pool, rows, params, MEAN, STD)
    render_selected(pool, rows, params, MEAN, STD)
    assert torch.equal(pool.buffer, before)
