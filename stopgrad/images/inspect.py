"""The preflight: what the images are, from their headers and a decoded sample, before anything is trained."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stopgrad.config import Data, Found
from stopgrad.images.bad import Bad, BadImage
from stopgrad.images.decode import quiet_decoders
from stopgrad.images.residence import megabytes
from stopgrad.images.source import Source, Splits
from stopgrad.images.survey import Survey, survey
from stopgrad.images.threads import in_threads

MAX_PIXELS = Data.max_pixels

_SAMPLE_SIDE = 256
"""Shorter side to which the sample is reduced: enough for a mean, and large photographs decode faster."""


def inspect(splits: Splits, max_pixels: int = MAX_PIXELS, sample: int | None = 512, duplicates: bool = True) -> Found:
    """Return what the headers of all images tell, and a decoded ``sample`` of the training part, evenly spaced (None: every image).

    An image that fails to decode in the sample is bad as well, and so is one that cannot have the most frequent number of channels: a run
    sets it aside. Mean and standard deviation are over the pixels of the sampled images, each weighing the same. A source without a usable
    image gives zeros.
    """
    train, test = splits
    whole = survey(train, max_pixels)
    most = next((c for c, _ in _counted(whole)), 1)
    moments = _sampled(train, whole, most, max_pixels, sample)
    readable = whole.without(moments.bad)
    headers = readable.without(readable.refused(most))
    usable = headers.usable()
    tested, test_bad = _tested(test, most, max_pixels)
    sides = np.minimum(headers.heights[usable], headers.widths[usable])
    return Found(
        source=train.name,
        images=len(usable),
        test_images=tested,
        bad=(*_bad(train, headers), *test_bad),
        test_bad=len(test_bad),
        short_side=(int(sides.min()), int(np.median(sides)), int(sides.max())) if len(usable) else (0, 0, 0),
        equal_size=len(np.unique(headers.heights[usable])) <= 1 and len(np.unique(headers.widths[usable])) <= 1,
        channels=_counted(readable),
        bits=int(headers.bits.max(initial=8)),
        classes=len(train.classes or ()),
        duplicates=_duplicates(train, usable) if duplicates else 0,
        decoded_bytes=headers.decoded_bytes(),
        mean=moments.mean,
        std=moments.std,
    )


def describe(found: Found, skipped: Mapping[str, int], most_bad: int = 20) -> list[str]:
    """Return ``found`` as lines to print; ``skipped`` is the source's, and ``most_bad`` bad images are named."""
    smallest, median, largest = found.short_side
    kinds = {1: "grey", 3: "RGB"}
    channels = ", ".join(f"{count:,} {kinds.get(c, f'with {c} channels')}" for c, count in found.channels) or "none"
    lines = [
        f"images      {found.images:,} usable{f' to train on, {found.test_images:,} to test on' if found.test_images else ''}",
        f"classes     {found.classes or 'none (no labels)'}",
        f"sizes       shorter side {smallest} to {largest} pixels, median {median}{', all equal' if found.equal_size and found.images else ''}",
        f"channels    {channels}",
        f"depth       {found.bits} bits",
        f"decoded     {megabytes(found.decoded_bytes)} at full size",
        f"mean, std   {_numbers(found.mean)}; {_numbers(found.std)} (values 0 to 1, over a sample)",
        f"duplicates  {found.duplicates:,}",
        f"bad files   {len(found.bad):,}{' (set aside):' if found.bad else ''}",
        *(f"  {name}: {reason}" for name, reason in found.bad[:most_bad]),
    ]
    if len(found.bad) > most_bad:
        lines.append(f"  and {len(found.bad) - most_bad:,} more")
    if skipped:
        lines.append(f"not images  {', '.join(f'{count:,} {kind}' for kind, count in sorted(skipped.items()))}")
    return lines


@dataclass(frozen=True)
class _Moments:
    mean: tuple[float, ...]
    std: tuple[float, ...]
    bad: dict[int, str]


def _sampled(source: Source, headers: Survey, channels: int, max_pixels: int, sample: int | None) -> _Moments:
    """Return mean and standard deviation a channel, and what could not be decoded."""
    data = Data(source="", channels=channels, mean=(0.0,), std=(1.0,), size=_SAMPLE_SIDE, short_side=_SAMPLE_SIDE, max_pixels=max_pixels)
    able = headers.wanted(data).usable()
    chosen = able if sample is None else able[np.unique(np.linspace(0, len(able) - 1, min(sample, len(able))).round().astype(np.int64))]

    def moments(i: int) -> NDArray[np.float64] | str:
        try:
            image = source.read(i, data)
        except BadImage as bad:
            return str(bad)
        values = image.reshape(channels, -1) / np.iinfo(image.dtype).max
        return np.stack([values.mean(axis=1), (values**2).mean(axis=1)])

    with quiet_decoders():
        results = list(in_threads(moments, (int(i) for i in chosen), headers.threads()))
    good = [result for result in results if not isinstance(result, str)]
    first, second = np.mean(good, axis=0) if good else np.zeros((2, channels))
    std = np.sqrt(np.maximum(second - first**2, 0))
    bad = {int(i): result for i, result in zip(chosen, results, strict=True) if isinstance(result, str)}
    return _Moments(tuple(first.tolist()), tuple(std.tolist()), bad)


def _tested(test: Source | None, channels: int, max_pixels: int) -> tuple[int, list[Bad]]:
    """Return how many images of the test part are usable, and the others."""
    if test is None:
        return 0, []
    headers = survey(test, max_pixels)
    headers = headers.without(headers.refused(channels))
    return len(headers.usable()), _bad(test, headers)


def _duplicates(source: Source, rows: NDArray[np.int64]) -> int:
    """Return how many images are copies of an earlier one, by SHA-256 among those of equal size in bytes."""
    sizes = source.sizes()[rows]
    values, counts = np.unique(sizes, return_counts=True)
    alike = rows[np.isin(sizes, values[counts > 1])]

    def digest(i: int) -> bytes | None:
        try:
            return source.digest(i)
        except BadImage:  # became unreadable since its header was read: no copy of anything
            return None

    digests = [found for found in in_threads(digest, (int(i) for i in alike)) if found]
    return len(digests) - len(set(digests))


def _counted(headers: Survey) -> tuple[tuple[int, int], ...]:
    """Return (channels, images), the most frequent first."""
    return tuple(Counter(headers.channels[headers.usable()].tolist()).most_common())


def _bad(source: Source, headers: Survey) -> list[Bad]:
    return [*source.aside, *((source.names[i], reason) for i, reason in sorted(headers.bad.items()))]


def _numbers(values: tuple[float, ...]) -> str:
    return " ".join(f"{value:.4f}" for value in values)
