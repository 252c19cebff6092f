"""Images as Pillow reads them: every format's colours brought to grey or RGB, 16-bit grey kept, upright."""

import os
import struct
from collections.abc import Callable
from typing import IO

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile, jpeg_factory
from PIL.PngImagePlugin import PngImageFile
from PIL.PpmImagePlugin import PpmImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from stopgrad.images.bad import BadImage
from stopgrad.images.header import Header
from stopgrad.images.planes import Planes, reduced_size
from stopgrad.images.upright import TURNS

ERRORS = (
    *(OSError, SyntaxError, ValueError, TypeError, IndexError, KeyError, OverflowError, struct.error, Image.DecompressionBombError),
    *(EOFError, AssertionError),
)
"""What Pillow raises on broken data: the first line in some 700,000 mutated files, the second by its source."""

_CHANNELS = {
    **dict.fromkeys(("1", "L", "LA", "La", "I;16", "I;16B", "I;16L", "I;16N", "I"), 1),
    **dict.fromkeys(("P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr"), 3),
}


def opener(start: bytes) -> Callable[[IO[bytes]], "WithPillow"] | None:
    """Return the reader for a file that begins with ``start`` (16 bytes or more); None when no format that is read begins so."""
    for magic, kind in _MAGICS:
        if start.startswith(magic):
            return kind
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return WebP
    if start[:1] == b"P" and b"1" <= start[1:2] <= b"6" and start[2:3].isspace():
        return Ppm
    return None


class WithPillow:
    """An image file whose header has been read. The formats differ in how they are opened, and in who turns them upright."""

    def __init__(self, image: ImageFile) -> None:
        self.image = image
        if image.mode not in _CHANNELS:
            raise BadImage(f"colour mode {image.mode} is not read")
        self.turn = self.orientation()
        width, height = image.size[::-1] if self.turn >= 5 else image.size
        self.header = Header(width, height, _CHANNELS[image.mode], 16 if image.mode.startswith("I") else 8)

    def orientation(self) -> int:
        """Return EXIF's orientation, 1..8; 1 as well when it cannot be made out: a broken EXIF block is no broken image."""
        try:
            # The base class's: a PNG's own would decode the whole image to look for EXIF behind it.
            found = Image.Image.getexif(self.image).get(0x0112)
        except ERRORS:
            return 1
        return found if isinstance(found, int) and found in TURNS else 1

    def read(self, channels: int, short_side: int | None) -> Planes:
        """Return (1 or 3, H, W), reduced; one plane where ``channels`` is 1, and for 16 bits (which are not reduced here)."""
        target = reduced_size(self.header.height, self.header.width, short_side)
        lying = self.turn >= 5
        self.load(*target)
        if (self.turn >= 5) != lying:  # the EXIF came behind the pixels
            target = target[::-1]
        image: Image.Image = self.image if self.turn == 1 else self.image.transpose(TURNS[self.turn])
        if image.mode.startswith("I"):
            return _words(image)
        image = _flat(image)
        if channels == 1 and image.mode == "RGB":
            image = image.convert("L")
        if image.size != target[::-1]:
            image = image.resize(target[::-1], Image.Resampling.BILINEAR)
        return np.stack([np.asarray(band) for band in image.split()])

    def load(self, height: int, width: int) -> None:
        """Decode; (height, width) is what will be kept."""
        self.image.load()


class Jpeg(WithPillow):
    """JPEG, and the first picture of MPO: by Pillow's library without Pillow's copies where that comes to the same pixels."""

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__(jpeg_factory(stream, ""))
        self.stream = stream

    def read(self, channels: int, short_side: int | None) -> Planes:
        """Return (1 or 3, H, W), reduced; one plane where ``channels`` is 1. What is reduced, turned, made grey, odd or damaged is left to Pillow."""
        whole = (self.header.height, self.header.width)
        as_it_is = self.turn == 1 and reduced_size(*whole, short_side) == whole and (self.header.channels, channels) != (3, 1)
        planes = self.direct() if as_it_is else None
        return super().read(channels, short_side) if planes is None else planes

    def direct(self) -> Planes | None:
        """Return all pixels, (1 or 3, H, W), as they lie in the file; None where they are of other colours, or anything is wrong."""
        (width, height), colours = self.image.size, {"L": "GRAY", "RGB": "RGBX"}.get(self.image.mode)
        length = self.stream.seek(0, os.SEEK_END)
        self.stream.seek(0)
        if colours is None or length > 4 * height * width + 2**20:  # a film behind the picture would fill the memory
            return None
        try:
            pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(self.stream.read(), colours)  # a mere warning is an error as well
        except ValueError:
            return None
        if pixels.shape[:2] != (height, width):
            return None
        return _apart(pixels) if colours == "RGBX" else pixels.reshape(1, height, width)

    def load(self, height: int, width: int) -> None:
        """Decode, scaled in the DCT by 1/2, 1/4 or 1/8 where that leaves twice the size kept: what is seen is up to the filter that follows."""
        if self.turn >= 5:
            height, width = width, height
        if isinstance(self.image, JpegImageFile):
            self.image.draft(self.image.mode, (2 * width, 2 * height))
        self.image.load()


class Png(WithPillow):
    """PNG, but for 16 bits of colour or alpha."""

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__(PngImageFile(stream, ""))

    def orientation(self) -> int:
        """Return EXIF's orientation, as far as the file has been read; an image without EXIF is not asked, for it would remember."""
        return super().orientation() if self.image.info.keys() & {"exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp"} else 1

    def load(self, height: int, width: int) -> None:
        """Decode, and look again for EXIF: it may come behind the pixels."""
        self.image.load()
        self.turn = self.orientation()


class Gif(WithPillow):
    """The first frame."""

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__(GifImageFile(stream, ""))


class Bmp(WithPillow):
    """BMP."""

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__(BmpImageFile(stream, ""))


class WebP(WithPillow):
    """The first frame."""

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__(WebPImageFile(stream, ""))


class Ppm(WithPillow):
    """PBM, PGM and PPM. Grey above 8 bits is brought to 16; of colour above 8 bits Pillow would keep 8."""

    def __init__(self, stream: IO[bytes]) -> None:
        image = PpmImageFile(stream, "")
        arguments = image.tile[0].args if image.tile else ()
        if image.mode == "RGB" and isinstance(arguments, tuple) and isinstance(arguments[-1], int) and arguments[-1] > 255:
            raise BadImage("16-bit colour PPM: save it as PNG, TIFF or .npy")
        super().__init__(image)


class Tiff(WithPillow):
    """A TIFF that ``tiff.needs_deep`` leaves to Pillow, which turns it upright itself."""

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__(TiffImageFile(stream, ""))

    def orientation(self) -> int:
        """Return 1: Pillow exchanges height and width when opening, and turns the pixels when loading."""
        return 1


_MAGICS: tuple[tuple[bytes, Callable[[IO[bytes]], WithPillow]], ...] = (
    (b"\xff\xd8\xff", Jpeg),
    (b"\x89PNG\r\n\x1a\n", Png),
    (b"GIF8", Gif),
    (b"BM", Bmp),
)


def _apart(pixels: NDArray[np.uint8]) -> Planes:
    """Return the first three of four channels (H, W, 4) as planes: by shifts of 32 bits, in two thirds of the time that strides take."""
    words = pixels.view("<u4")[:, :, 0]
    planes = np.empty((3, *words.shape), np.uint8)
    for i, plane in enumerate(planes):
        np.right_shift(words, 8 * i, out=plane, casting="unsafe")
    return planes


def _words(image: Image.Image) -> Planes:
    """Return (1, H, W) uint16 of an image of mode I or I;16. Raises BadImage for values outside 0..65535."""
    values = np.asarray(image)
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65535:
        raise BadImage(f"samples from {low} to {high}: only 0 to 65535 are read; save it as uint16")
    words = values.astype(np.uint16)
    if isinstance(clear := image.info.get("transparency"), int):
        words[words == clear] = 65535  # laid over white, as every other transparent pixel
    return words[None]


def _flat(image: Image.Image) -> Image.Image:
    """Return an 8-bit image as L or RGB, transparent parts laid over white."""
    grey = _CHANNELS[image.mode] == 1
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    mode = "L" if grey else "RGB"
    return image if image.mode == mode else image.convert(mode)
