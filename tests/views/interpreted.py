"""The GPU's kernels, run by Triton's interpreter on the CPU, against views of torch. test_triton.py starts this with TRITON_INTERPRET=1."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from stopgrad.config.run import View
from stopgrad.images.pool import Pool
from stopgrad.views.on_gpu import render_on_gpu
from stopgrad.views.render import render_selected
from stopgrad.views.sample import ViewParams, centre, sample, uniforms

PLAIN = View(size=16, scale=(0.2, 1.0), flip=0.0, jitter=(0.0, 0.0, 0.0, 0.0), jitter_p=0.0, grey=0.0, blur=0.0)
BUSY = replace(PLAIN, flip=0.5, jitter=(0.4, 0.4, 0.4, 0.1), jitter_p=0.8, grey=0.3, blur=0.5, solarise=0.3)
JITTER = replace(PLAIN, jitter_p=1.0)
OPERATIONS = {
    "crop": PLAIN,
    "flip": replace(PLAIN, flip=1.0),
    "brightness": replace(JITTER, jitter=(0.8, 0.0, 0.0, 0.0)),
    "contrast": replace(JITTER, jitter=(0.0, 0.8, 0.0, 0.0)),
    "saturation": replace(JITTER, jitter=(0.0, 0.0, 0.8, 0.0)),
    "hue": replace(JITTER, jitter=(0.0, 0.0, 0.0, 0.5)),
    "grey": replace(PLAIN, grey=1.0),
    "blur": replace(PLAIN, blur=1.0),
    "solarise": replace(PLAIN, solarise=1.0),
}
IMAGES = 4
TOLERANCE = 1e-5
"""After the division by a standard deviation of 1/4."""


def pool(channels: int = 3, depth: type[np.uint8 | np.uint16] = np.uint8, sides: tuple[int, int] = (24, 20), ragged: bool = False) -> Pool:
    random = np.random.default_rng(channels)
    shapes = [(channels, sides[0] + i % 3 * ragged, sides[1] + i * ragged) for i in range(IMAGES)]
    return Pool.from_arrays([random.integers(0, np.iinfo(depth).max + 1, shape).astype(depth) for shape in shapes])


def drawn(images: Pool, view: View) -> tuple[torch.Tensor, ViewParams]:
    """Return every image, and a view of each."""
    return torch.arange(len(images)), sample(view, uniforms(0, 1, 0, len(images)), images.heights, images.widths)


def check(images: Pool, rows: torch.Tensor, params: ViewParams) -> None:
    views = render_on_gpu(images, rows, params, (0.5,), (0.25,))
    assert views.dtype == torch.float32
    assert views.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(views, render_selected(images, rows, params, (0.5,), (0.25,)), rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("ragged", [False, True], ids=["equal", "ragged"])
@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3, 5])
def test_views_are_torchs(channels: int, depth: type[np.uint8 | np.uint16], ragged: bool) -> None:
    images = pool(channels, depth, ragged=ragged)
    check(images, *drawn(images, BUSY))


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_alone_is_torchs(name: str) -> None:
    images = pool()
    check(images, *drawn(images, OPERATIONS[name]))


@pytest.mark.parametrize("size", [9, 24, 32, 64, 65])
def test_every_size_is_torchs(size: int) -> None:
    """To 64 pixels in three channels a program makes a whole view; no power of two leaves some of its pixels over."""
    images = pool(sides=(40, 50))
    rows, params = drawn(images, replace(BUSY, size=size))
    some = torch.tensor([1, 3])[: 2 if size < 64 else 1]
    check(images, rows[some], params.rows(some))


@pytest.mark.parametrize(("channels", "size"), [(3, 16), (3, 40), (20, 16)])
def test_blocks_are_the_whole(monkeypatch: pytest.MonkeyPatch, channels: int, size: int) -> None:
    """However a view is cut into blocks: the mean of its grey image is the view's."""
    monkeypatch.setattr("stopgrad.views.on_gpu.MOST", 0)
    images = pool(channels)
    rows, params = drawn(images, replace(BUSY, size=size))
    check(images, rows[:2], params.rows(slice(2)))


@pytest.mark.parametrize("height", [1, 2, 90])
@pytest.mark.parametrize("width", [1, 90])
def test_any_crop_is_torchs(height: int, width: int) -> None:
    """A single pixel, a line, and the whole of an image nearly six times as large; at each of its corners."""
    images = pool(sides=(90, 90))
    rows = torch.arange(4)
    whole = centre(16, images.heights[rows], images.widths[rows], 1.0)
    top, left = torch.tensor([0, 0, 1, 1]) * (90 - height), torch.tensor([0, 1, 0, 1]) * (90 - width)
    check(images, rows, replace(whole, top=top, left=left, height=torch.full((4,), height), width=torch.full((4,), width)))


def test_neighbours_do_not_show() -> None:
    images = pool()
    rows, params = drawn(images, BUSY)
    whole = render_on_gpu(images, rows, params, (0.5,), (0.25,))
    some = torch.tensor([3, 0, 2])
    assert torch.equal(render_on_gpu(images, rows[some], params.rows(some), (0.5,), (0.25,)), whole[some])
    assert render_on_gpu(images, rows[:0], params.rows(slice(0, 0)), (0.5,), (0.25,)).shape == (0, 3, 16, 16)


def test_every_channel_has_its_own_mean() -> None:
    images = pool()
    rows, params = drawn(images, BUSY)
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.3, 0.4)
    views = render_on_gpu(images, rows, params, mean, std)
    torch.testing.assert_close(views, render_selected(images, rows, params, mean, std), rtol=0, atol=TOLERANCE)


@pytest.mark.slow
def test_large_views_are_torchs() -> None:
    images = pool(sides=(375, 500))
    rows, params = drawn(images, replace(BUSY, size=224, blur=1.0))
    check(images, rows[:2], params.rows(slice(2)))
