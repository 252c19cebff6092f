"""JPEGs decoded without Pillow are Pillow's to the last bit, and what Pillow refuses is refused."""

import io
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from stopgrad.images.with_pillow import ERRORS, Jpeg, WithPillow
from tests.images.corpus import pixels, saved, upright


def photo(height: int, width: int, mode: str = "RGB") -> Image.Image:
    """Return something smooth with grain."""
    y, x = np.mgrid[:height, :width]
    smooth = np.stack([128 + 90 * np.sin(x / 15), 128 + 90 * np.cos(y / 11), (x + y) * 255 / (height + width)], -1)
    return Image.fromarray((smooth + pixels(height, width) / 8).clip(0, 255).astype(np.uint8)).convert(mode)


def both(content: bytes, channels: int = 3, short_side: int | None = None) -> tuple[NDArray[Any] | str, NDArray[Any] | str]:
    """Return what is read now, and by Pillow alone; the word "refused" for an error."""

    def outcome(read: Any) -> NDArray[Any] | str:
        try:
            return np.asarray(read(Jpeg(io.BytesIO(content)), channels, short_side))
        except ERRORS:
            return "refused"

    return outcome(Jpeg.read), outcome(WithPillow.read)


def is_direct(content: bytes) -> bool:
    return Jpeg(io.BytesIO(content)).direct() is not None


def agree(content: bytes, channels: int = 3) -> bool:
    now, pillows = both(content, channels)
    return now == pillows if isinstance(now, str) or isinstance(pillows, str) else np.array_equal(now, pillows)


KINDS: dict[str, dict[str, Any]] = {
    "4:4:4": {"subsampling": "4:4:4"},
    "4:2:2": {"subsampling": "4:2:2"},
    "4:2:0": {"subsampling": "4:2:0"},
    "progressive": {"progressive": True, "quality": 90},
    "RGB": {"keep_rgb": True},
    "restarts by rows": {"restart_marker_rows": 1},
    "restarts by blocks": {"restart_marker_blocks": 3, "progressive": True},
    "optimised": {"optimize": True},
    "coarse": {"quality": 3},
    "fine": {"quality": 100},
}


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (8, 8), (16, 16), (17, 33), (61, 47), (120, 201)])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_pixels_are_pillows(size: tuple[int, int], kind: str, mode: str) -> None:
    content = saved(photo(*size, mode), "JPEG", **(KINDS[kind] if (mode, kind) != ("L", "RGB") else {}))
    assert is_direct(content)
    for channels in (1, 3):
        assert agree(content, channels)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_pillows(orientation: int) -> None:
    content = saved(photo(37, 50), "JPEG", **upright(orientation))
    assert agree(content, 1)
    assert agree(content, 3)


@pytest.mark.parametrize("kind", ["4:2:0", "progressive", "RGB"])
@pytest.mark.parametrize("short_side", [10, 40, 50, 60, 64, 119, 120, 121])
def test_reduction_is_pillows(kind: str, short_side: int) -> None:
    for options in ({}, upright(6)):
        now, pillows = both(saved(photo(120, 201), "JPEG", **KINDS[kind], **options), 3, short_side)
        assert isinstance(now, np.ndarray)
        assert np.array_equal(now, pillows)


def test_what_is_not_plain_stays_with_pillow() -> None:
    for content in (saved(photo(20, 30, "CMYK"), "JPEG"), saved(photo(20, 30), "JPEG") + b"behind" * 10**6):
        assert not is_direct(content)
        assert agree(content)


def test_only_the_first_picture_of_several_counts() -> None:
    stream = io.BytesIO()
    photo(20, 30).save(stream, "MPO", save_all=True, append_images=[photo(40, 50)])
    assert is_direct(stream.getvalue())
    assert agree(stream.getvalue())


def damaged(content: bytes, count: int, seed: int) -> Iterator[bytes]:
    """Yield files cut, and with bytes flipped, set, left out, doubled and put in."""
    draw = np.random.default_rng(seed)
    for _ in range(count):
        broken, place = bytearray(content), int(draw.integers(2, len(content)))
        match int(draw.integers(7)):
            case 0:
                del broken[place:]
            case 1:
                broken[place] ^= 1 << int(draw.integers(8))
            case 2:
                broken[place : place + 2] = struct.pack(">H", int(draw.integers(65536)))
            case 3:
                del broken[place : place + int(draw.integers(1, 9))]
            case 4:
                broken[place:place] = broken[place : place + int(draw.integers(1, 99))]
            case 5:
                broken[place:place] = bytes((255, int(draw.integers(192, 255))))
            case _:
                for other in draw.integers(2, len(content), 5):
                    broken[other] = int(draw.integers(256))
        yield bytes(broken)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["4:2:0", "progressive", "RGB", "restarts by rows"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_damage_is_judged_by_pillow(kind: str, mode: str) -> None:
    content = saved(photo(33, 40, mode), "JPEG", **(KINDS[kind] if (mode, kind) != ("L", "RGB") else {}))
    for broken in damaged(content, 400, 0):
        try:
            Jpeg(io.BytesIO(broken))
        except ERRORS:
            continue
        assert agree(broken)


@pytest.mark.parametrize("kind", ["4:2:0", "progressive"])
def test_a_cut_file_is_refused_wherever_it_is_cut(kind: str) -> None:
    content = saved(photo(17, 20), "JPEG", **KINDS[kind])
    for end in range(content.index(b"\xff\xda"), len(content)):
        try:
            assert both(content[:end]) == ("refused", "refused")
        except ERRORS:
            continue
