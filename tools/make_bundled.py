"""Make the bundled set from the official Fashion-MNIST: ``python tools/make_bundled.py FOLDER``.

FOLDER holds the four files train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz and t10k-labels-idx1-ubyte.gz
(Debian: package dataset-fashion-mnist, /usr/share/datasets/fashion-mnist). The first images of each class are taken, in file order, so
the same files give the same set; prints the digests that ``stopgrad/images/bundled.py`` records.
"""

import gzip
import hashlib
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stopgrad.images.bundled import CLASSES, FOLDER
from stopgrad.images.idx import open_idx

PER_CLASS = {"train": 1000, "t10k": 200}


def main(official: Path, out: Path) -> None:
    """Read the official files, choose, write."""
    train, test = open_idx(official, str(official), CLASSES)
    assert test is not None
    out.mkdir(parents=True, exist_ok=True)
    for part, source in (("train", train), ("t10k", test)):
        images, labels = source.array(), source.labels
        assert images is not None
        assert labels is not None
        rows = np.sort(np.concatenate([np.flatnonzero(labels == c)[: PER_CLASS[part]] for c in range(len(CLASSES))]))
        write_idx(out / f"{part}-images-idx3-ubyte.gz", images[rows, 0].astype(np.uint8))
        write_idx(out / f"{part}-labels-idx1-ubyte.gz", labels[rows].astype(np.uint8))


def write_idx(file: Path, array: NDArray[np.uint8]) -> None:
    """Write an array of bytes as a packed IDX file, without name and date in it, and print its digest."""
    head = bytes((0, 0, 0x08, array.ndim)) + np.array(array.shape, dtype=">u4").tobytes()
    content = gzip.compress(head + array.tobytes(), compresslevel=9, mtime=0)
    file.write_bytes(content)
    print(f'    "{file.name}": "{hashlib.sha256(content).hexdigest()}",  # {len(content):,} bytes')


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python tools/make_bundled.py FOLDER")
    main(Path(sys.argv[1]), FOLDER)
