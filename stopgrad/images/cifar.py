"""CIFAR-10 and CIFAR-100 as their makers give them: the binary version and the Python version (pickled, and not trusted)."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stopgrad.errors import UserError
from stopgrad.images.source import ArraySource, Labels, Names, Splits

_SHAPE = (3, 32, 32)
_PIXELS = 3 * 32 * 32

Part = tuple[NDArray[np.uint8], Labels]


def holds_cifar(folder: Path) -> bool:
    """Return whether a folder holds one of the four sets, by its files' names."""
    binary = (folder / "data_batch_1.bin").is_file() or ((folder / "train.bin").is_file() and (folder / "test.bin").is_file())
    python = (folder / "data_batch_1").is_file() or ((folder / "train").is_file() and (folder / "meta").is_file())
    return binary or python


def open_cifar(folder: Path, name: str) -> Splits:
    """Return the training batches and the test batch of ``folder`` (where ``holds_cifar``); CIFAR-100 with its 100 fine labels.

    Raises UserError for a file that is damaged, or a pickle that holds anything but numbers, texts and arrays.
    """
    hundred = (folder / "train.bin").is_file() or (folder / "train").is_file()
    binary = (folder / "train.bin").is_file() or (folder / "data_batch_1.bin").is_file()
    ending = ".bin" if binary else ""
    trains = [folder / f"train{ending}"] if hundred else sorted(folder.glob(f"data_batch_[1-5]{ending}"))
    tests = [path for path in [folder / (f"test{ending}" if hundred else f"test_batch{ending}")] if path.is_file()]
    read: Callable[[Path], Part] = (lambda path: _binary(path, labels=2 if hundred else 1)) if binary else _python
    classes = _names_in_text(folder, hundred) if binary else _names_in_pickle(folder, hundred)
    train = _source([read(path) for path in trains], "train", name, classes)
    return Splits(train, _source([read(path) for path in tests], "test", f"{name} (test)", classes) if tests else None)


def _source(parts: list[Part], part: str, name: str, classes: tuple[str, ...] | None) -> ArraySource:
    images = np.concatenate([images for images, _ in parts])
    labels = np.concatenate([labels for _, labels in parts])
    if len(images) and not 0 <= labels.min() <= labels.max() < 100:
        raise UserError(f"{name}: labels from {labels.min()} to {labels.max()}; the files are damaged, fetch them again")
    if classes is None or labels.max(initial=0) >= len(classes):
        classes = tuple(map(str, range(int(labels.max(initial=0)) + 1)))
    return ArraySource(name=name, names=Names(f"{part}/{i:05d}" for i in range(len(images))), labels=labels, classes=classes, images=images)


def _binary(path: Path, labels: int) -> Part:
    """Read records of ``labels`` bytes (the last is the label) and 3,072 of pixels, red first, row by row."""
    content = np.fromfile(path, np.uint8)
    if not len(content) or len(content) % (labels + _PIXELS):
        raise UserError(f"{path}: {len(content)} bytes are no whole number of records ({labels + _PIXELS} bytes each); fetch it again")
    records = content.reshape(-1, labels + _PIXELS)
    return records[:, labels:].reshape(-1, *_SHAPE), records[:, labels - 1].astype(np.int64)


def _names_in_text(folder: Path, hundred: bool) -> tuple[str, ...] | None:
    path = folder / ("fine_label_names.txt" if hundred else "batches.meta.txt")
    return tuple(path.read_text(encoding="utf-8").split()) if path.is_file() else None


def _names_in_pickle(folder: Path, hundred: bool) -> tuple[str, ...] | None:
    path = folder / ("meta" if hundred else "batches.meta")
    if not path.is_file():
        return None
    names = _unpickled(path).get("fine_label_names" if hundred else "label_names", [])
    return tuple(name.decode() if isinstance(name, bytes) else str(name) for name in names)


def _python(path: Path) -> Part:
    batch = _unpickled(path)
    data, labels = batch.get("data"), batch.get("fine_labels", batch.get("labels"))
    if not isinstance(data, _Array) or not isinstance(labels, list):
        raise UserError(f"{path}: no CIFAR batch (data and labels are missing); fetch it again")
    images = data.array
    if images is None or images.dtype != np.uint8 or images.shape != (len(labels), _PIXELS) or not all(isinstance(y, int) for y in labels):
        raise UserError(f"{path}: no CIFAR batch (data must be N x {_PIXELS} bytes with N labels); fetch it again")
    return images.reshape(-1, *_SHAPE), np.array(labels, dtype=np.int64)


def _unpickled(path: Path) -> dict[str, Any]:
    """Return the dictionary in a pickle, its keys as text. Raises UserError, before anything is run, for one that asks for more than data."""
    try:
        with open(path, "rb") as file:
            found = _DataOnly(file, encoding="bytes").load()
    except (pickle.UnpicklingError, EOFError, ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError) as error:
        if isinstance(error, UserError):
            raise UserError(f"{path}: {error}") from None
        raise UserError(f"{path}: not a pickle of plain data ({error}); fetch it again") from None
    if not isinstance(found, dict):
        raise UserError(f"{path}: no CIFAR batch; fetch it again")
    return {key.decode() if isinstance(key, bytes) else str(key): value for key, value in found.items()}


class _DataOnly(pickle.Unpickler):
    """Builds dictionaries, lists, texts, numbers and arrays; NumPy's own functions are never called, only imitated."""

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in for one of the three names that a pickled array needs, and for the one of bytes written by Python 3."""
        if name == "_reconstruct" and module in ("numpy.core.multiarray", "numpy._core.multiarray"):
            return _Array
        if module == "numpy" and name in ("ndarray", "dtype"):
            return _DType if name == "dtype" else None
        if (module, name) == ("_codecs", "encode"):
            return _latin1
        raise UserError(f"refused: it asks for {module}.{name}, and stopgrad runs no code that comes with data")


def _latin1(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise ValueError(f"bytes in {encoding}")
    return text.encode("latin1")


class _DType:
    """Stands in for numpy.dtype: the plain integers."""

    def __init__(self, code: str | bytes, *flags: bool) -> None:
        text = code.decode() if isinstance(code, bytes) else code
        if text not in ("u1", "i4", "i8"):
            raise ValueError(f"array of {text}")
        self.dtype = np.dtype(text)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        """Take the byte order; the little one and none are known."""
        if state[1] not in ("<", "|", b"<", b"|"):
            raise ValueError(f"array of byte order {state[1]!r}")


class _Array:
    """Stands in for an array while it is unpickled."""

    def __init__(self, *arguments: Any) -> None:
        self.array: NDArray[Any] | None = None

    def __setstate__(self, state: tuple[int, tuple[int, ...], _DType, bool, bytes]) -> None:
        """Take (version, shape, type, column order, bytes)."""
        _, shape, kind, columns, content = state
        if not isinstance(kind, _DType) or not isinstance(content, bytes):
            raise ValueError("array of objects")
        self.array = np.frombuffer(bytearray(content), kind.dtype).reshape(shape, order="F" if columns else "C")
