"""Order and supply: which images make the batch of a step, and where their pixels come from.

Order is a pure function of (seed, step): one permutation an epoch, cut into whole batches; the rest of an epoch is dropped
(as in the official code). What fits is resident in a pool; what does not is decoded by worker processes, once an image.
"""

import signal
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from stopgrad import distributed
from stopgrad.config import Data
from stopgrad.errors import UserError
from stopgrad.images.bad import Bad, BadImage, refuse_few, refuse_too_many
from stopgrad.images.decode import quiet_decoders
from stopgrad.images.planes import Planes
from stopgrad.images.pool import Pool, load, room
from stopgrad.images.residence import Kind, decide, free_device, free_ram, megabytes
from stopgrad.images.sources import Source
from stopgrad.images.survey import survey
from stopgrad.images.threads import cores
from stopgrad.keys import generator
from stopgrad.world import world


@dataclass(frozen=True)
class Batch:
    """The images of a step: rows of a pool."""

    pool: Pool
    rows: Tensor
    """(n,) int64, rows of ``pool``."""
    numbers: Tensor
    """(n,) int64, the numbers of these images in the supply."""
    labels: Tensor | None = None
    """(n,) int64, their classes; None without labels."""
    bad: tuple[Bad, ...] = ()
    """(name, reason) of images that could not be read and were replaced by the next readable one."""


class Supply(Protocol):
    """Something that hands out images by their numbers."""

    keep: NDArray[np.int64]
    """Index in the source of each of its images."""
    short_side: int
    """Median shorter side of its images, pixels."""
    waited: float
    """Seconds that were waited for images so far."""

    def __len__(self) -> int: ...

    def fetch(self, numbers: Iterable[Tensor]) -> Iterator[Batch]:
        """Return a batch for each of ``numbers`` (N,) int64, from 0 to ``len() - 1``, in order."""


@dataclass(frozen=True)
class Order:
    """Which images each step sees."""

    seed: int
    images: int
    batch: int

    def __post_init__(self) -> None:
        refuse_few(self.batch, self.images)

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches in one pass over the images."""
        return self.images // self.batch

    def epoch(self, epoch: int) -> Tensor:
        """Return the permutation of an epoch, (images,) int64."""
        return torch.from_numpy(generator("order", self.seed, epoch).permutation(self.images))

    def of_step(self, step: int) -> Tensor:
        """Return the images of ``step`` (from 0), (batch,) int64."""
        epoch, position = divmod(step, self.steps_per_epoch)
        return self.epoch(epoch)[position * self.batch : (position + 1) * self.batch]

    def of_steps(self, start: int, stop: int) -> Iterator[Tensor]:
        """Return ``of_step`` for a range, drawing each permutation once."""
        current, permutation = -1, torch.empty(0)
        for step in range(start, stop):
            epoch, position = divmod(step, self.steps_per_epoch)
            if epoch != current:
                current, permutation = epoch, self.epoch(epoch)
            yield permutation[position * self.batch : (position + 1) * self.batch]


@dataclass
class Resident:
    """All images decoded, in RAM or on the device."""

    pool: Pool
    keep: NDArray[np.int64]
    """Index in the source of every image of the pool."""
    device: torch.device
    labels: Tensor | None = None
    """Class of each of its images, int64; None without labels."""
    waited: float = 0.0

    def __post_init__(self) -> None:
        self.short_side = int(torch.minimum(self.pool.heights, self.pool.widths).median())

    def __len__(self) -> int:
        return len(self.pool)

    def fetch(self, numbers: Iterable[Tensor]) -> Iterator[Batch]:
        """Return the batches in order; from a pool in RAM, the images of a batch are sent to the device."""
        for rows in numbers:
            labels = None if self.labels is None else self.labels[rows]
            if self.pool.device == self.device:
                yield Batch(self.pool, rows, rows, labels)
            else:
                yield Batch(self.pool.take(rows, pinned=self.device.type == "cuda").send(self.device), torch.arange(len(rows)), rows, labels)


@dataclass
class Streaming:
    """Images decoded batch by batch in ``data.workers`` processes (0: in this one), each once, ahead of their step."""

    source: Source
    data: Data
    keep: NDArray[np.int64]
    """Indices of the usable images, int64."""
    workers: int
    device: torch.device
    short_side: int
    labels: Tensor | None = None
    """Class of each of its images, int64; None without labels."""
    waited: float = 0.0

    def __len__(self) -> int:
        return len(self.keep)

    def fetch(self, numbers: Iterable[Tensor]) -> Iterator[Batch]:
        """Return the batches in order, each a small pool of its own."""
        loader: DataLoader[Batch] = DataLoader(
            _Decoded(self.source, self.data, self.keep),
            batch_size=None,
            sampler=_Lists(numbers),
            num_workers=self.workers,
            prefetch_factor=2 if self.workers else None,
            worker_init_fn=_leave_signals_to_the_trainer,
        )
        ready = iter(loader)
        while True:
            begin = time.perf_counter()
            batch = next(ready, None)
            self.waited += time.perf_counter() - begin
            if batch is None:
                return
            labels = None if self.labels is None else self.labels[batch.numbers]
            yield replace(batch, pool=batch.pool.send(self.device), labels=labels)


def _leave_signals_to_the_trainer(worker: int) -> None:
    """Ctrl-C and a scheduler's SIGTERM reach the whole process group; workers must live until the trainer has saved, and end with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def open_supply(
    source: Source, data: Data, device: torch.device, tell: Callable[[str], None], note_bad: Callable[[tuple[Bad, ...]], None]
) -> tuple["Resident | Streaming", Kind]:
    """Return the supply of ``source`` for ``device`` and where its images live, said by ``tell``; ``note_bad`` hears what was set aside.

    Raises UserError when more than ``data.max_bad`` of the images are unusable, or none is usable.
    """
    found = survey(source, data.max_pixels)
    headers = found.wanted(data)
    here = (free_ram() // world().local_size, free_device(str(device)))  # every process of this machine holds its own
    ram, memory = zip(*distributed.everyones(here), strict=True)  # and all decide alike, by the fullest
    needed, place = room(source, data, headers)
    residence = decide(needed, data.residence, min(ram), None if None in memory else min(memory), place)
    if residence.kind == "stream" and source.in_order():
        raise UserError(
            f"{source.name}: {megabytes(needed)} of decoded images cannot be streamed from Parquet, where an image by itself costs its whole "
            f"group of rows; first stopgrad pack {source.name} PACK (--as-files keeps the files as they are), and train on PACK"
        )
    tell(residence.line)
    usable = headers.usable()
    labels = None if source.labels is None else torch.from_numpy(source.labels)
    if residence.kind == "stream":
        bad = (*source.aside, *((source.names[i], reason) for i, reason in headers.bad.items()))
    else:
        loaded = load(source, data, headers=found)
        usable, bad = loaded.rows, loaded.bad
    refuse_too_many(source.name, len(usable), bad, data.max_bad)  # before they are noted: a run that is refused leaves nothing behind
    note_bad(bad)
    tell(f"{len(usable):,} usable images{f', {len(bad):,} set aside' if bad else ''}")
    if residence.kind != "stream":
        pool = loaded.pool.to(device) if residence.kind == "device" else loaded.pool
        return Resident(pool, usable, device, None if labels is None else labels[usable]), residence.kind
    workers = max(1, cores() // world().local_size) if data.workers < 0 else data.workers
    short_side = int(np.median(np.minimum(headers.heights, headers.widths)[usable]))
    return Streaming(source, data, usable, workers, device, short_side, None if labels is None else labels[usable]), residence.kind


class _Lists:
    """The sampler: numbers as lists, which cost less to send to a worker than tensors."""

    def __init__(self, numbers: Iterable[Tensor]) -> None:
        self.numbers = numbers

    def __iter__(self) -> Iterator[list[int]]:
        return (rows.tolist() for rows in self.numbers)


class _Decoded(Dataset[Batch]):
    """Decodes the images of a step into a pool, in a worker process."""

    def __init__(self, source: Source, data: Data, keep: NDArray[np.int64]) -> None:
        self.source, self.data, self.keep = source, data, keep

    def __getitem__(self, rows: list[int]) -> Batch:
        images, numbers, bad = [], [], []
        with quiet_decoders():
            for row in rows:
                image, number, failed = self._readable(row)
                images.append(image)
                numbers.append(number)
                bad += failed
        return Batch(Pool.from_arrays(images), torch.arange(len(images)), torch.tensor(numbers), bad=tuple(bad))

    def _readable(self, row: int) -> tuple[Planes, int, list[Bad]]:
        """Return image ``row``, or the next one that can be read: the same one on every machine and after every restart."""
        failed: list[Bad] = []
        for i in range(len(self.keep)):
            number = (row + i) % len(self.keep)
            index = int(self.keep[number])
            try:
                return self.source.read(index, self.data), number, failed
            except BadImage as bad:
                failed.append((self.source.names[index], str(bad)))
        raise UserError(f"{self.source.name}: none of its {len(self.keep)} images can be read; the last: {failed[-1][1]}")
