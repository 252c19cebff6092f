"""Every kind of pixel is read right or refused with its reason."""

import io
import struct
from typing import Any

import imagecodecs
import numpy as np
import pytest
import torchvision.transforms.v2.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from stopgrad.images.decode import Header, decode, header, quiet_decoders
from tests.images.corpus import LARGE, npy, pixels, planar, png, read, reason, saved, tiff, upright


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    kind=st.sampled_from([(1, np.uint8), (3, np.uint8), (1, np.uint16), (3, np.uint16), (5, np.uint8), (2, np.uint16), (7, np.uint16)]),
    form=st.sampled_from(["png", "tiff", "tiff planar", "tiff big-endian", "tiff lzw", "npy", "npy fortran", "npy big-endian"]),
    seed=st.integers(0, 999),
)
def test_what_is_written_without_loss_is_read_without_loss(height: int, width: int, kind: tuple[int, Any], form: str, seed: int) -> None:
    channels, dtype = kind
    array = pixels(height, width, channels, dtype, seed)
    match form.split():
        case ["png"]:
            content = imagecodecs.png_encode(array) if channels in (1, 3) else npy(array)
        case ["tiff", *how]:
            grey = {"photometric": "minisblack" if channels not in (3,) else "rgb"}
            planes = how == ["planar"] and channels > 1
            options: dict[str, Any] = grey | {"planarconfig": "separate" if planes else "contig"} if channels > 1 else grey
            options |= {"byteorder": ">"} if how == ["big-endian"] else {"compression": "lzw"} if how == ["lzw"] else {}
            content = tiff(planar(array) if planes else array, **options)
        case [_, "fortran"]:
            content = npy(np.asfortranarray(array))
        case _:
            content = npy(array.astype(array.dtype.newbyteorder(">")) if form.endswith("big-endian") else array)
    found = decode(content, channels, LARGE, None)
    assert header(content) == Header(width, height, channels, 8 * array.itemsize)
    assert found.dtype == dtype
    assert found.flags.c_contiguous
    assert np.array_equal(found, planar(array))


def test_grey_becomes_colour_by_repetition_and_colour_grey_by_luma() -> None:
    grey, colour = pixels(channels=1), pixels()
    assert np.array_equal(read(saved(grey, "PNG")), np.stack([grey] * 3))
    luma = np.asarray(Image.fromarray(colour).convert("L"))
    assert np.array_equal(read(saved(colour, "PNG"), 1)[0], luma)
    assert np.array_equal(read(npy(colour), 1)[0], luma)  # our own arithmetic is Pillow's
    white = np.full((2, 2, 3), 65535, np.uint16)
    assert (read(npy(white), 1) == 65535).all()


@pytest.mark.parametrize(("have", "want"), [(3, 4), (5, 3), (2, 1), (1, 2)])
def test_other_changes_of_channels_are_refused(have: int, want: int) -> None:
    assert reason(npy(pixels(channels=have)), want) == f"has {have} channels, data.channels is {want}: only 1 and 3 are turned into each other"


def test_transparent_parts_lie_on_white() -> None:
    rgba = np.zeros((1, 3, 4), np.uint8)
    rgba[0, :, 3] = (255, 0, 127)  # black: opaque, clear, half
    assert read(saved(rgba, "PNG"))[:, 0].tolist() == [[0, 255, 128]] * 3
    la = Image.fromarray(rgba).convert("LA")
    assert header(saved(la, "PNG")).channels == 1
    assert read(saved(la, "PNG"), 1)[0, 0].tolist() == [0, 255, 128]
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putdata([0, 1])
    assert read(saved(palette, "PNG", transparency=1))[:, 0].T.tolist() == [[10, 20, 30], [255, 255, 255]]
    assert read(saved(palette, "GIF"))[:, 0].T.tolist() == [[10, 20, 30], [40, 50, 60]]


def test_transparency_of_16_bits_lies_on_white_too() -> None:
    rgba = np.zeros((1, 3, 4), np.uint16)
    rgba[0, :, 3] = (65535, 0, 32768)
    for content in (imagecodecs.png_encode(rgba), tiff(rgba, photometric="rgb", extrasamples=["unassalpha"])):
        assert header(content) == Header(3, 1, 3, 16)
        assert read(content)[:, 0].tolist() == [[0, 65535, 32767]] * 3
    keyed = saved(np.array([[7, 9]], np.uint16), "PNG", transparency=9)
    assert read(keyed, 1).tolist() == [[[7, 65535]]]


def test_cmyk_and_ycbcr_become_rgb() -> None:
    flat = Image.new("CMYK", (16, 16), (0, 255, 255, 0))  # cyan 0, magenta and yellow full: red
    for content in (saved(flat, "JPEG", quality=100), saved(flat, "TIFF")):
        assert header(content).channels == 3
        assert np.abs(read(content).mean((1, 2)) - (255, 0, 0)).max() < 2
    assert np.array_equal(read(saved(Image.new("YCbCr", (4, 4), (128, 128, 128)), "TIFF")), np.full((3, 4, 4), 128))


def test_one_bit_and_fewer_grey_levels_fill_the_range() -> None:
    assert read(saved(Image.fromarray(np.array([[True, False]])), "PNG"), 1).tolist() == [[[255, 0]]]
    assert read(b"P5 2 1 100\n" + bytes((0, 100)), 1).tolist() == [[[0, 255]]]
    assert read(b"P5 2 1 1000\n" + struct.pack(">HH", 0, 1000), 1).tolist() == [[[0, 65535]]]
    assert "16-bit colour PPM" in reason(b"P6 1 1 65535\n" + bytes(6))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["PNG", "TIFF", "WEBP"])
def test_exif_turns_upright_as_pillow_does(orientation: int, form: str) -> None:
    options = upright(orientation) | ({"lossless": True} if form == "WEBP" else {})
    content = saved(pixels(5, 9), form, **options)
    expected = np.asarray(
        ImageOps.exif_transpose(Image.open(io.BytesIO(content)).convert("RGB") if form == "TIFF" else Image.open(io.BytesIO(content)))
    )
    assert np.array_equal(read(content), planar(expected))
    assert (header(content).height, header(content).width) == expected.shape[:2]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turns_deep_images_the_same_way(orientation: int) -> None:
    shallow = read(saved(pixels(5, 9), "TIFF", tiffinfo={274: orientation}))
    tag = [(274, "H", 1, orientation, False)]
    found = read(tiff(pixels(5, 9).astype(np.uint16) * 257, photometric="rgb", extratags=tag))
    assert np.array_equal(found, shallow.astype(np.uint16) * 257)
    grey = tiff(pixels(5, 9, 1, np.uint16), photometric="minisblack", byteorder=">", extratags=tag)
    assert np.array_equal(read(grey, 1), read(saved(pixels(5, 9, 1, np.uint16), "PNG", **upright(orientation)), 1))
    assert header(grey) == header(saved(pixels(5, 9, 1, np.uint16), "PNG", **upright(orientation)))


def test_exif_behind_the_pixels_of_a_png_counts() -> None:
    exif = upright(6)["exif"].tobytes().removeprefix(b"Exif\0\0")
    rows = b"".join(b"\0" + bytes(row) for row in ((1, 2, 3), (4, 5, 6)))
    content = png(3, 2, 8, 0, rows, (b"eXIf", exif))
    assert read(content, 1).tolist() == [[[4, 1], [5, 2], [6, 3]]]


def test_a_broken_exif_block_is_no_broken_image() -> None:
    content = saved(pixels(), "PNG", exif=b"Exif\0\0nonsense")
    with quiet_decoders():
        assert np.array_equal(read(content), planar(pixels()))


def test_the_first_frame_is_taken() -> None:
    first, second = Image.fromarray(pixels()), Image.fromarray(pixels(seed=1))
    for form, options in (("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {})):
        content = saved(first, form, save_all=True, append_images=[second], **options)
        assert np.array_equal(read(content), planar(pixels()))


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
@pytest.mark.parametrize(("height", "width", "short_side"), [(300, 200, 50), (200, 301, 64), (64, 64, 63), (40, 90, 40)])
def test_reduction_is_torchvisions_antialiased_bilinear(form: str, height: int, width: int, short_side: int) -> None:
    y, x = np.mgrid[:height, :width]
    smooth = np.stack([128 + 100 * np.sin(x / 15), 128 + 100 * np.cos(y / 11), (x + y) * 255 / (height + width)], -1).astype(np.uint8)
    content = saved(smooth, form, **({"quality": 95} if form == "JPEG" else {}))
    expected = np.asarray(F.resize(Image.open(io.BytesIO(content)), [short_side], antialias=True))
    found = read(content, short_side=short_side)
    assert found.shape == (3, *expected.shape[:2])
    most = 0 if form == "PNG" else 6  # a JPEG is scaled in the DCT down to twice the size first
    assert np.abs(found.astype(int) - planar(expected)).max() <= most


def test_reduction_of_many_channels_and_16_bits_is_that_of_each_plane() -> None:
    eight = pixels(40, 30, 5)
    expected = np.stack([np.asarray(Image.fromarray(eight[..., i]).resize((10, 13), Image.Resampling.BILINEAR)) for i in range(5)])
    assert np.array_equal(read(npy(eight), 5, 10), expected)
    sixteen = read(npy(eight.astype(np.uint16) * 257), 5, 10)
    assert np.abs(sixteen / 257 - expected).max() <= 1.01  # 8 bits are rounded twice
    assert read(npy(np.full((40, 30), 65535, np.uint16)), 1, 10).min() == 65535


def test_small_images_are_not_enlarged() -> None:
    assert read(saved(pixels(6, 8), "PNG"), short_side=7).shape == (3, 6, 8)
