"""Image files that lie within a few large ones: read by their places, nothing is taken out and written elsewhere."""

import hashlib
import io
import os
import resource
import weakref
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stopgrad.images.bad import BadImage
from stopgrad.images.header import Header
from stopgrad.images.source import Encoded, Names

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

MOST_OPEN = 4096
"""Files held open at a time, and at most a quarter of what the system grants a process."""
AHEAD = 16 * 1024
"""Bytes read at once for a header."""


@dataclass(frozen=True, eq=False, kw_only=True)
class WithinFiles(Encoded):
    """Images whose bytes lie in other files: archives, Arrow files, packs of files."""

    root: Path
    files: Names
    """The large files, relative to ``root``."""
    file: NDArray[np.int64]
    """(images,): which of ``files`` an image lies in."""
    offsets: NDArray[np.int64]
    """(images,): the bytes before it."""
    lengths: NDArray[np.int64]
    """(images,): its bytes."""
    digests: tuple[str, ...] = ()
    """Of the content, where it is known: then the images are known by it, and not by their names and sizes."""

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_opened"}

    def fingerprint(self) -> str:
        """Return a hex digest of what the images are: names, sizes and labels, or content and labels."""
        if not self.digests:
            return super().fingerprint()
        digest = hashlib.sha256(" ".join(self.digests).encode())
        if self.labels is not None:
            digest.update(self.labels.astype("<i8").tobytes())
        return digest.hexdigest()

    def sizes(self) -> NDArray[np.int64]:
        """Return the bytes of every image."""
        return self.lengths

    def content(self, i: int) -> bytes:
        """Return the bytes of image ``i``."""
        wanted = int(self.lengths[i])
        try:
            found = self.part(i, 0, wanted)
        except OSError as error:
            raise BadImage(error.strerror or str(error)) from error
        if len(found) < wanted:
            raise BadImage(f"{self.files[int(self.file[i])]} has become shorter: {len(found)} of {wanted} bytes are there")
        return found

    def part(self, i: int, start: int, count: int) -> bytes:
        """Return at most ``count`` bytes of image ``i``, those before ``start`` left out. Raises OSError."""
        count = min(count, int(self.lengths[i]) - start)
        if count <= 0:
            return b""
        with self._opened.file(self.root / self.files.exact(int(self.file[i]))) as handle:
            return os.pread(handle, count, int(self.offsets[i]) + start)

    def header(self, i: int) -> Header:
        """Return what the image's first bytes tell; no more of it is read than that takes."""
        from stopgrad.images.decode import header

        return header(io.BufferedReader(_Window(self, i), AHEAD))

    @cached_property
    def _opened(self) -> "_Opened":
        granted = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        return _Opened(MOST_OPEN if granted == resource.RLIM_INFINITY else min(MOST_OPEN, granted // 4))


class _Window(io.RawIOBase):
    """An image as if it were a file of its own."""

    def __init__(self, source: WithinFiles, i: int) -> None:
        self.source, self.i, self.place = source, i, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        into = memoryview(buffer).cast("B")
        found = self.source.part(self.i, self.place, len(into))
        into[: len(found)] = found
        self.place += len(found)
        return len(found)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        before = {os.SEEK_SET: 0, os.SEEK_CUR: self.place, os.SEEK_END: int(self.source.lengths[self.i])}[whence]
        if before + offset < 0:
            raise OSError("a place before the beginning")
        self.place = before + offset
        return self.place

    def tell(self) -> int:
        return self.place


class _Opened:
    """Files held open for all threads; of more than ``most`` those used longest ago are closed."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.lock = Lock()
        self.handles: OrderedDict[Path, int] = OrderedDict()
        self.users: dict[Path, int] = {}
        weakref.finalize(self, _close, self.handles)

    @contextmanager
    def file(self, path: Path) -> Iterator[int]:
        """Yield the handle of ``path``, which stays open as long. Raises OSError."""
        with self.lock:
            if path not in self.handles:
                self.handles[path] = os.open(path, os.O_RDONLY)
            self.handles.move_to_end(path)
            self.users[path] = self.users.get(path, 0) + 1
        try:
            yield self.handles[path]
        finally:
            with self.lock:
                self.users[path] -= 1
                idle = [] if len(self.handles) <= self.most else [old for old in self.handles if not self.users[old]]
                for old in idle[: len(self.handles) - self.most]:
                    os.close(self.handles.pop(old))
                    del self.users[old]


def _close(handles: OrderedDict[Path, int]) -> None:
    while handles:
        os.close(handles.popitem()[1])
