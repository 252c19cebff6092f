"""The images that are measured on: the bundled ones at 32x32, and coloured noise of a photograph's size and shape, also as JPEG files."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stopgrad.images.bundled import open_bundled
from stopgrad.images.planes import Planes

SIZE = (500, 375)
"""Width and height of the usual ImageNet photograph."""
QUALITY = 93
OCTAVES = {32: 48.0, 16: 24.0, 8: 12.0, 4: 10.0, 2: 10.0}
"""Wavelength in pixels, and standard deviation in grey levels."""
GRAIN = 6.0


def small_images(number: int = 2000) -> list[Planes]:
    """Return bundled images (Fashion-MNIST), padded to (3, 32, 32)."""
    images = open_bundled().train.array()
    assert images is not None
    padded = np.pad(images[:number], ((0, 0), (0, 0), (2, 2), (2, 2)))
    return [*np.ascontiguousarray(padded.repeat(3, axis=1))]


def photograph(draw: np.random.Generator) -> NDArray[np.uint8]:
    """Return coloured noise of every wavelength, long ones stronger, (375, 500, 3): its JPEG file is about as large as a photograph's."""
    total = draw.normal(0, GRAIN, (SIZE[1], SIZE[0], 3)).astype(np.float32) + 128
    for octave, amplitude in OCTAVES.items():
        planes = draw.normal(0, amplitude, (3, SIZE[1] // octave, SIZE[0] // octave)).astype(np.float32)
        scaled = [np.asarray(Image.fromarray(plane).resize(SIZE, Image.Resampling.BICUBIC)) for plane in planes]
        total += np.stack(scaled, axis=2)
    return total.clip(0, 255).astype(np.uint8)


def large_images(number: int = 64) -> list[Planes]:
    """Return decoded photographs, (3, 375, 500)."""
    draw = np.random.default_rng(0)
    return [np.ascontiguousarray(photograph(draw).transpose(2, 0, 1)) for _ in range(number)]


def write_jpegs(folder: Path, number: int, short_side: int | None = None) -> list[Path]:
    """Write photographs as JPEG files (4:2:0), with the shorter side reduced to ``short_side`` where one is given, and return where they are."""
    folder.mkdir()
    draw = np.random.default_rng(0)
    size = SIZE if short_side is None else (SIZE[0] * short_side // SIZE[1], short_side)
    files = [folder / f"{i:04}.jpg" for i in range(number)]
    for file in files:
        image = Image.fromarray(photograph(draw))
        image.resize(size, Image.Resampling.BILINEAR).save(file, quality=QUALITY)
    return files
