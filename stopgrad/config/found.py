"""What the preflight finds: plain values, so that recipes can choose from them without touching an image."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Found:
    """The images of a source as their headers (and a decoded sample) tell."""

    source: str
    images: int
    """Usable images of the training part."""
    test_images: int
    """Usable images of the test part; 0 when there is none."""
    bad: tuple[tuple[str, str], ...]
    """(name, reason) of every image that is known to be unusable."""
    test_bad: int = 0
    """How many of them are of the test part."""
    short_side: tuple[int, int, int]
    """Smallest, median and largest shorter side, pixels, after EXIF rotation."""
    equal_size: bool
    """Whether all images have the same height and width."""
    channels: tuple[tuple[int, int], ...]
    """(channels, number of images) after palette and alpha are resolved, most frequent first."""
    bits: int
    """Deepest samples found: 8 or 16."""
    classes: int
    """Number of classes; 0 without labels."""
    duplicates: int
    """Images whose file is byte for byte another one's."""
    decoded_bytes: int
    """Memory the decoded images would take at full size."""
    mean: tuple[float, ...]
    """Per-channel mean (0..1) over a decoded sample."""
    std: tuple[float, ...]
    """Per-channel standard deviation over a decoded sample."""
