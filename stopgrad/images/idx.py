"""The IDX files of MNIST and its relatives (Fashion-MNIST, KMNIST, EMNIST), packed or not."""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stopgrad.errors import UserError
from stopgrad.images.source import ArraySource, Names, Splits

_TRAINS = ("*train*images*idx3*",)
_TESTS = ("t10k*images*idx3*", "*test*images*idx3*")
_BYTES = 0x08  # the type code of unsigned bytes, third byte of the magic number; the fourth is the number of dimensions


def holds_idx(folder: Path) -> bool:
    """Return whether a folder holds the images of a training part, by name."""
    return bool(_matching(folder, _TRAINS))


def open_idx(folder: Path, name: str, classes: tuple[str, ...] | None = None) -> Splits:
    """Return the training and the test part; labels where their files lie beside the images. ``classes`` are by default the numbers.

    Raises UserError when there are several training parts, or a file is damaged.
    """
    train_file, test_file = _only(folder, _TRAINS, name), _only(folder, _TESTS, name)
    assert train_file is not None
    train_labels = _labels(train_file)
    numbers = None if train_labels is None else np.unique(train_labels)
    if numbers is not None and classes is None:
        classes = tuple(map(str, numbers))
    train = _source(train_file, "train", train_labels, numbers, classes, name)
    if test_file is None:
        return Splits(train, None)
    return Splits(train, _source(test_file, "test", _labels(test_file), numbers, classes, f"{name} (test)"))


def _source(
    file: Path, part: str, found: NDArray[np.uint8] | None, numbers: NDArray[np.uint8] | None, classes: tuple[str, ...] | None, name: str
) -> ArraySource:
    images = _read(file, 3)[:, None]
    names = Names(f"{part}/{i:05d}" for i in range(len(images)))
    if found is None or numbers is None:
        return ArraySource(name=name, names=names, labels=None, classes=None, images=images)
    if len(found) != len(images):
        raise UserError(f"{file}: {len(images)} images but {len(found)} labels; fetch the files again")
    if unknown := set(found.tolist()) - set(numbers.tolist()):
        raise UserError(f"{file}: label {min(unknown)} is not in the training part; fetch the files again")
    labels = np.searchsorted(numbers, found).astype(np.int64)
    return ArraySource(name=name, names=names, labels=labels, classes=classes, images=images)


def _matching(folder: Path, patterns: tuple[str, ...]) -> list[Path]:
    """Return the files of the patterns; where one lies both packed and unpacked, the unpacked one."""
    found = {path for pattern in patterns for path in folder.glob(pattern) if path.is_file()}
    return sorted(path for path in found if path.suffix != ".gz" or path.with_suffix("") not in found)


def _only(folder: Path, patterns: tuple[str, ...], name: str) -> Path | None:
    found = _matching(folder, patterns)
    if len(found) > 1:
        raise UserError(f"{name}: several sets lie here ({', '.join(path.name for path in found)}); put each into a folder of its own")
    return found[0] if found else None


def _labels(images: Path) -> NDArray[np.uint8] | None:
    """Return the labels that belong to a file of images; None when there are none."""
    plain = images.name.removesuffix(".gz").replace("images", "labels").replace("idx3", "idx1")
    for path in (images.with_name(plain), images.with_name(f"{plain}.gz")):
        if path.is_file():
            return _read(path, 1)
    return None


def _read(file: Path, dimensions: int) -> NDArray[np.uint8]:
    """Return the array in an IDX file: magic number, sizes (big-endian 32-bit), bytes."""
    try:
        content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{file}: cannot be read ({error}); fetch it again") from None
    if content[:4] != bytes((0, 0, _BYTES, dimensions)):
        raise UserError(f"{file}: no IDX file of bytes in {dimensions} dimensions (it begins {content[:4].hex()})")
    start = 4 + 4 * dimensions
    sizes = tuple(int.from_bytes(content[i : i + 4]) for i in range(4, start, 4))
    if len(content) - start != math.prod(sizes) or 0 in sizes:
        raise UserError(f"{file}: {len(content)} bytes for sizes {sizes}; fetch it again")
    return np.frombuffer(content, np.uint8, offset=start).reshape(sizes).copy()
