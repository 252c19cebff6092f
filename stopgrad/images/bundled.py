"""The set in the package: a stratified 10,000 + 2,000 images of Fashion-MNIST, for trying everything without a download.

Xiao, Rasul & Vollgraf, arXiv:1708.07747. The first 1,000 training and 200 test images of each of the ten classes, in file order, written by
``tools/make_bundled.py`` from the official files. Expat licence; the notice lies beside the data.
"""

from pathlib import Path

from stopgrad.images.idx import open_idx
from stopgrad.images.source import Splits

FOLDER = Path(__file__).parent / "data" / "fashion-mnist"

CLASSES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")

SHA256 = {
    "train-images-idx3-ubyte.gz": "fb5d76be9a26fa809a3b13c18f7191e33c2115c6e377baf29656711358a51b1d",
    "train-labels-idx1-ubyte.gz": "4cc57b2814542612de157ac954fec39e17b40ac7cc646602198dc0f4c7c97fc9",
    "t10k-images-idx3-ubyte.gz": "f63b5f3a005caedab708d16a900babd905c8331b1cd2188b91245c032cfe6acd",
    "t10k-labels-idx1-ubyte.gz": "09f5dc909c8586184bae0fbde44202a1b007bf6f2bd2bc952652fa22dc323f95",
}
"""Of the files as made."""


def open_bundled() -> Splits:
    """Return 10,000 training and 2,000 test images, (1, 28, 28), with their ten classes."""
    return open_idx(FOLDER, "bundled", CLASSES)
