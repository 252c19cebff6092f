"""Which TIFF files Pillow reads whole, which need the optional ``deep`` group, and which are refused.

Pillow opens more than it reads right: 16-bit colour loses its lower byte, a fourth band that is no alpha is dropped, signed bytes and
white-is-zero words come out wrong, all without a word. So the tags decide here, before a decoder is chosen. (TIFF 6.0 names them.)
"""

from typing import IO, NamedTuple

from PIL.TiffImagePlugin import ImageFileDirectory_v2

from stopgrad.images.bad import BadImage

_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCBCR = 0, 1, 2, 3, 5, 6
_ALPHA = ((1,), (2,), (999,))  # ExtraSamples: premultiplied, straight, and what Corel Draw 10 writes
_UNSIGNED, _SIGNED, _FLOAT, _UNDEFINED = 1, 2, 3, 4
_COMPRESSIONS = (1, 5, 8, 32946, 32773, 50000)  # none, LZW, deflate (two numbers), PackBits, zstd: what they unpack is bounded from outside
_STACKS = ("ImageJ=", '{"shape"', "<?xml", "<OME")  # how ImageDescription begins in ImageJ's, tifffile's and OME's stacks


class Tags(NamedTuple):
    """What the first directory of a TIFF file says of its pixels."""

    width: int
    height: int
    bits: tuple[int, ...]
    compression: int
    samples: int
    sample_format: int
    photometric: int
    extra: tuple[int, ...]
    tile: int
    """Pixels of a tile; 1 without tiles."""
    orientation: int
    description: str
    more_pages: bool


def read_tags(stream: IO[bytes]) -> Tags:
    """Return the tags of the first directory. Raises BadImage where width or height is missing, and what Pillow raises on a broken file."""
    stream.seek(0)
    start = stream.read(8)
    if start[2:3] == b"\x2b" or start[3:4] == b"\x2b":  # BigTIFF
        start += stream.read(8)
    directory = ImageFileDirectory_v2(start)
    stream.seek(directory.next)
    directory.load(stream)

    def numbers(tag: int, default: tuple[int, ...] = ()) -> tuple[int, ...]:
        found = directory.get(tag, default)
        found = found if isinstance(found, tuple) else (found,)
        if not all(isinstance(value, int) for value in found) or len(found) < min(1, len(default)):
            raise BadImage(f"TIFF whose tag {tag} is broken")
        return found

    if not (numbers(256) and numbers(257)):
        raise BadImage("TIFF without width or height")
    return Tags(
        width=numbers(256)[0],
        height=numbers(257)[0],
        bits=numbers(258, (1,)),
        compression=numbers(259, (1,))[0],
        samples=numbers(277, (1,))[0],
        sample_format=max(numbers(339, (_UNSIGNED,))),
        photometric=numbers(262, (_WHITE_IS_ZERO,))[0],
        extra=numbers(338),
        tile=numbers(322, (1,))[0] * numbers(323, (1,))[0],
        orientation=numbers(274, (1,))[0],
        description=str(directory.get(270, "")),
        more_pages=directory.next != 0,
    )


def needs_deep(tags: Tags) -> bool:
    """Return whether Pillow would lose something of this file. Raises BadImage for what neither reader gets right."""
    if tags.more_pages and tags.description.startswith(_STACKS):
        raise BadImage("a TIFF stack of several pages: save its channels as one page, or as .npy (H, W, C)")
    if tags.sample_format not in (_UNSIGNED, _UNDEFINED):
        if tags.sample_format == _SIGNED and tags.samples == 1 and max(tags.bits) in (16, 32):
            return False  # Pillow's mode I, whose range is checked
        kind = "floating-point" if tags.sample_format == _FLOAT else "signed" if tags.sample_format == _SIGNED else "complex"
        raise BadImage(f"TIFF with {kind} samples: save it as uint8 or uint16")
    if _pillow_reads(tags):
        return False
    if tags.compression not in _COMPRESSIONS:
        raise BadImage(
            f"TIFF of {tags.samples} samples, {max(tags.bits)} bits, in compression {tags.compression}: save it with none, LZW, deflate or zstd"
        )
    if tags.tile > 4 * max(tags.width * tags.height, 1024**2):
        raise BadImage(f"TIFF with tiles of {tags.tile} pixels for {tags.width}x{tags.height}")
    if max(tags.bits) not in (8, 16) or tags.photometric not in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB):
        raise BadImage(f"TIFF of {tags.samples} samples, {max(tags.bits)} bits, photometric interpretation {tags.photometric} is not read")
    return True


def has_alpha(tags: Tags) -> bool:
    """Return whether the only extra sample is alpha; four samples of RGB without a word on the fourth mean alpha too, as everywhere."""
    colours = 3 if tags.photometric == _RGB else 1
    unsaid = tags.photometric == _RGB and tags.samples == 4 and not tags.extra
    return tags.samples == colours + 1 and (unsaid or tags.extra in _ALPHA)


def is_premultiplied(tags: Tags) -> bool:
    """Return whether the colours were already multiplied by alpha."""
    return tags.extra == (1,)


def is_white_zero(tags: Tags) -> bool:
    """Return whether 0 means white."""
    return tags.photometric == _WHITE_IS_ZERO


def _pillow_reads(tags: Tags) -> bool:
    """Return whether Pillow keeps every sample and every bit."""
    deepest = max(tags.bits)
    if tags.samples == 1:
        whole = deepest in (1, 2, 4, 8) or (deepest in (12, 16, 32) and tags.photometric == _BLACK_IS_ZERO)
        return whole and not tags.extra and tags.photometric in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _PALETTE, _YCBCR)
    if deepest != 8 or min(tags.bits) != 8:
        return False
    if (tags.photometric, tags.samples) in {(_RGB, 3), (_CMYK, 4), (_YCBCR, 3)}:
        return not tags.extra
    return tags.photometric in (_BLACK_IS_ZERO, _RGB, _PALETTE) and has_alpha(tags)
