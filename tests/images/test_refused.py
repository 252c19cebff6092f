"""What cannot be read rightly is refused with its reason, and nothing is lost on the way."""

import io
import os
import tempfile
import warnings
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from stopgrad.images import deep
from stopgrad.images.decode import BadImage, Header, decode, header, quiet_decoders
from tests.images.corpus import LARGE, jpeg_bomb, npy, pixels, planar, read, reason, saved, tiff


def test_the_size_is_refused_before_decoding() -> None:
    bomb = jpeg_bomb()
    assert header(bomb) == Header(65500, 65500, 3, 8)
    assert reason(bomb) == f"65500x65500 pixels are more than data.max_pixels ({LARGE})"
    assert decode(saved(pixels(10, 10), "PNG"), 3, 100, None).shape == (3, 10, 10)
    with pytest.raises(BadImage, match="10x10"):
        decode(saved(pixels(10, 10), "PNG"), 3, 99, None)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty file"),
        (b"hello", "begins with b'hello'"),
        (b"\x93NUMPY\x01\x00 garbage", ""),
        (npy(np.array([{"a": 1}], dtype=object)), "object"),
        (npy(np.zeros((4, 4))), "float64"),
        (npy(np.zeros((4, 4, 4, 4), np.uint8)), "shape"),
        (npy(pixels())[:-1], "truncated"),
        (tiff(np.zeros((4, 4), np.float32)), "floating-point"),
        (tiff(np.zeros((4, 4), np.int8)), "signed"),
        (tiff(np.full((4, 4), -1, np.int16)), "samples from -1 to -1"),
        (tiff(np.full((4, 4), 65536, np.uint32)), "samples from 65536 to 65536"),
        (saved(Image.new("LAB", (4, 4)), "TIFF"), "photometric interpretation 8"),
        (saved(pixels(), "JPEG")[:400], ""),
        (saved(pixels(), "GIF")[:30], ""),
        (saved(pixels(), "BMP")[:-9], "truncated"),
        (saved(pixels(), "WEBP")[:-9], ""),
        (saved(pixels(), "TIFF")[:-90], ""),
        (b"P6 4 4 255\n" + bytes(20), "truncated"),
        (b"P7\nWIDTH 1\n", "no image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no image"),  # Pillow would call Ghostscript
    ],
)
def test_what_cannot_be_read_rightly_is_refused(content: bytes, words: str) -> None:
    found = reason(content, 1 if content[:2] == b"II" else 3)
    assert words in found
    assert found
    assert "\n" not in found


def test_32_bit_numbers_in_range_are_16_bit_images() -> None:
    values = pixels(channels=1, dtype=np.uint16)
    for dtype in (np.uint32, np.int32):
        assert np.array_equal(read(tiff(values.astype(dtype)), 1)[0], values)


def test_white_is_zero_is_turned_round() -> None:
    for dtype in (np.uint8, np.uint16):
        values = pixels(channels=1, dtype=dtype)
        assert np.array_equal(read(tiff(values, photometric="miniswhite"), 1)[0], np.iinfo(dtype).max - values)


def test_a_fourth_band_that_is_no_alpha_is_kept() -> None:
    array = pixels(channels=4)
    content = tiff(array, photometric="rgb", extrasamples=["unspecified"])
    assert np.array_equal(read(content, 4), planar(array))
    assert "has 4 channels" in reason(content)


def test_a_stack_of_pages_is_not_cut_to_its_first() -> None:
    for options in ({}, {"imagej": True}, {"ome": True}):
        stream = io.BytesIO()
        tifffile.imwrite(stream, np.zeros((5, 6, 8), np.uint8), photometric="minisblack", **options)
        assert "stack of several pages" in reason(stream.getvalue(), 1)


@pytest.mark.parametrize("make", [lambda a: imagecodecs.png_encode(a), lambda a: tiff(a, photometric="rgb")])
def test_without_the_deep_group_16_bit_colour_is_set_aside_and_says_what_to_install(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    content = make(pixels(dtype=np.uint16))
    monkeypatch.setattr(deep, "find_spec", lambda module: None)
    with pytest.raises(BadImage, match=r"pip install 'stopgrad\[deep\]'"):
        header(content)
    assert read(saved(pixels(channels=1, dtype=np.uint16), "PNG"), 1).dtype == np.uint16  # grey needs no group


def test_flipped_bits_of_a_png_are_noticed() -> None:
    content = saved(pixels(), "PNG")
    start, end = content.index(b"IDAT") + 4, content.index(b"IEND") - 8
    for place in range(start, end - 4, 7):
        broken = bytearray(content)
        broken[place] ^= 1
        with pytest.raises(BadImage):
            read(bytes(broken))


def test_files_are_named_by_the_system(tmp_path: Path) -> None:
    assert reason(tmp_path / "none.jpg") == "No such file or directory"
    assert reason(tmp_path) == "not a regular file"
    os.mkfifo(tmp_path / "pipe.jpg")
    assert reason(tmp_path / "pipe.jpg") == "not a regular file"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_file_without_permission_is_set_aside() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        path = Path(folder) / "mine.png"
        path.write_bytes(saved(pixels(), "PNG"))
        path.chmod(0)
        os.seteuid(65534)
        try:
            assert reason(path) == "Permission denied"
        finally:
            os.seteuid(0)


def test_pillows_warnings_are_silenced_only_while_images_are_read() -> None:
    content = bytearray(saved(pixels(), "TIFF"))
    content[-20:] = b"\xff" * 20
    with quiet_decoders():
        warnings.warn_explicit("odd metadata", UserWarning, "TiffImagePlugin.py", 1, module="PIL.TiffImagePlugin")
    with pytest.warns(UserWarning, match="odd"):
        warnings.warn_explicit("odd metadata", UserWarning, "TiffImagePlugin.py", 1, module="PIL.TiffImagePlugin")
