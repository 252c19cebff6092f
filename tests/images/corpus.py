"""Images that break pipelines, made on the spot: each with what must become of it."""

import io
import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from stopgrad.images.decode import BadImage, decode


def pixels(height: int = 12, width: int = 16, channels: int = 3, dtype: Any = np.uint8, seed: int = 0) -> NDArray[Any]:
    """Return random pixels (H, W, C), or (H, W) for one channel, over the whole range of ``dtype``."""
    values = np.random.default_rng(seed).integers(0, np.iinfo(dtype).max + 1, (height, width, channels), dtype=dtype)
    return values[:, :, 0] if channels == 1 else values


LARGE = 10**6
"""More pixels than any image of the tests has."""


def read(file: bytes | Path, channels: int = 3, short_side: int | None = None) -> NDArray[Any]:
    """Return a decoded file, (channels, H, W)."""
    return decode(file, channels, LARGE, short_side)


def reason(file: bytes | Path, channels: int = 3) -> str:
    """Return why a file is refused."""
    with pytest.raises(BadImage) as caught:
        decode(file, channels, LARGE, None)
    return str(caught.value)


def planar(array: NDArray[Any]) -> NDArray[Any]:
    """Return (H, W) or (H, W, C) as (C, H, W)."""
    return array[None] if array.ndim == 2 else np.moveaxis(array, -1, 0)


def saved(image: Image.Image | NDArray[Any], form: str, **options: Any) -> bytes:
    """Return an image as a file of Pillow's format ``form``."""
    stream = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(stream, form, **options)
    return stream.getvalue()


def tiff(array: NDArray[Any], **options: Any) -> bytes:
    """Return an array as a TIFF."""
    stream = io.BytesIO()
    tifffile.imwrite(stream, array, metadata=None, **options)
    return stream.getvalue()


def npy(array: NDArray[Any]) -> bytes:
    """Return an array as a .npy file."""
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def png(width: int, height: int, depth: int, colour: int, rows: bytes, *after: tuple[bytes, bytes]) -> bytes:
    """Return a PNG written by hand: ``rows`` are the filtered scan lines, ``after`` chunks behind the pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(rows)), *after, (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*c) for c in chunks)


def upright(orientation: int) -> dict[str, Any]:
    """Return the options that write an EXIF orientation."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return {"exif": exif}


def jpeg_bomb() -> bytes:
    """Return a small JPEG whose header says 65500x65500."""
    content = bytearray(saved(pixels(), "JPEG"))
    frame = content.index(b"\xff\xc0")
    content[frame + 5 : frame + 9] = struct.pack(">HH", 65500, 65500)
    return bytes(content)


@dataclass(frozen=True)
class Expected:
    """What must become of the files of a folder: shapes (H, W) of those used, reasons (regular expressions) of those set aside."""

    used: dict[str, tuple[int, int]]
    aside: dict[str, str]


def hostile_folder(folder: Path) -> Expected:
    """Fill ``folder`` and return what must become of every file in it, by the name that is shown."""
    photo = saved(pixels(), "JPEG", quality=95)
    picture = saved(pixels(), "PNG")
    broken = bytearray(picture)
    broken[len(picture) // 2] ^= 0x10
    used = {
        "cmyk.jpg": saved(Image.fromarray(pixels()).convert("CMYK"), "JPEG"),
        "grey16.png": saved(pixels(channels=1, dtype=np.uint16), "PNG"),
        "palette.png": saved(Image.fromarray(pixels()).quantize(16), "PNG", transparency=3),
        "rgba.png": saved(pixels(channels=4), "PNG"),
        "rotated.jpg": saved(pixels(), "JPEG", **upright(6)),
        "animated.gif": saved(Image.fromarray(pixels()).quantize(8), "GIF", save_all=True, append_images=[Image.new("P", (16, 12))]),
        "one.png": saved(pixels(1, 1), "PNG"),
        "deep/er/wrong ending.png": photo,
        "naïve 图\n\x1b[31m.png": picture,
        os.fsdecode(b"latin1-\xe9.png"): picture,
    }
    aside = {
        "truncated.jpg": (photo[:-40], "truncated"),
        "empty.png": (b"", "empty file"),
        "text.jpg": (b"I am no photograph.\n", "no image that is read"),
        "bomb.jpg": (jpeg_bomb(), "65500x65500 pixels are more than data.max_pixels"),
        "bomb.png": (png(65500, 65500, 8, 2, b""), "65500x65500 pixels are more than data.max_pixels"),
        "flipped.png": (bytes(broken), "broken"),
        "vector.gif": (b"%PDF-1.4 not a GIF", "no image that is read"),
        "float.tif": (tiff(np.ones((4, 4), np.float32)), "floating-point"),
    }
    for name, content in [*used.items(), *((name, content) for name, (content, _) in aside.items())]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    (folder / "loop").symlink_to(folder)
    (folder / "itself.jpg").symlink_to("itself.jpg")
    (folder / "nowhere.png").symlink_to("missing.png")
    os.mkfifo(folder / "pipe.jpg")
    shapes = dict.fromkeys(used, (12, 16)) | {"rotated.jpg": (16, 12), "one.png": (1, 1)}
    reasons = {name: reason for name, (_, reason) in aside.items()} | {
        "loop": "circle",
        "itself.jpg": "leads nowhere",
        "nowhere.png": "leads nowhere",
        "pipe.jpg": "not a regular file",
    }
    shown = {"naïve 图\n\x1b[31m.png": r"naïve 图\n\x1b[31m.png", os.fsdecode(b"latin1-\xe9.png"): r"latin1-\udce9.png"}
    return Expected({shown.get(name, name): shape for name, shape in shapes.items()}, reasons)
