"""Which image files lie below a folder."""

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from stopgrad.errors import UserError
from stopgrad.images.bad import printable

EXTENSIONS = frozenset(
    (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pbm", ".pgm", ".ppm", ".pnm", ".npy")
)
"""Endings, in lower case, by which files of a folder are taken for images."""
SHARDS = (".tar", ".parquet", ".arrow")
"""Endings of files that hold many images."""
COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tbz", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".tzst", ".tar.lz4", ".tar.lzma", ".tar.z")
"""Endings of archives whose members cannot be read where they lie."""


@dataclass
class Listing:
    """What lies below a folder."""

    files: list[tuple[str, int]] = field(default_factory=list)
    """Image files: name relative to the folder, size in bytes; sorted by name."""
    shards: list[str] = field(default_factory=list)
    """Names of files that may hold many images; they are counted in ``skipped`` too, by ending."""
    compressed: list[str] = field(default_factory=list)
    """The same of compressed archives."""
    aside: list[tuple[str, str]] = field(default_factory=list)
    """Name and reason of what cannot be listed: folders without permission, links that lead nowhere or in a circle, pipes."""
    skipped: Counter[str] = field(default_factory=Counter)
    """Other files by ending; ``hidden`` for files and folders whose name begins with a dot."""

    def below(self, prefix: str, outside: tuple[str, ...] = ()) -> "Listing":
        """Return the part whose names begin with ``prefix``; what was set aside belongs to it unless it begins with one of ``outside``."""
        files = [file for file in self.files if file[0].startswith(prefix)]
        aside = [bad for bad in self.aside if (bad[0].startswith(prefix) or outside) and not bad[0].startswith(outside)]
        return Listing(files, aside=aside, skipped=self.skipped)


def list_images(root: Path) -> Listing:
    """Return the image files, and those of many images, below ``root``. Links are followed, but no folder is listed twice.

    Raises UserError when it cannot be listed.
    """
    return _Walk(root).run()


class _Walk:
    """One walk below a folder: the real folders first, then the linked ones, so that an image is listed under its real name."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.seen: set[tuple[int, int]] = set()  # device and inode of every folder listed
        self.links: list[str] = []
        self.listing = Listing()

    def run(self) -> Listing:
        """Walk, and return what was found."""
        real_root = self.root.resolve()
        self._below("")
        for link in self.links:  # grows as linked folders hold further links
            if real_root.is_relative_to((self.root / link).resolve()):
                self._set_aside(link, "a link in a circle: it leads to a folder above")
            else:
                self._below(link)
        self.listing.files.sort()
        self.listing.shards.sort()
        self.listing.aside.sort()
        return self.listing

    def _below(self, top: str) -> None:
        folders = [top]
        while folders:
            folder = folders.pop()
            try:
                found = os.stat(self.root / folder)
                entries = sorted(os.scandir(self.root / folder), key=lambda entry: entry.name)
            except OSError as error:
                if not folder:
                    raise UserError(f"{self.root}: cannot be listed ({error.strerror})") from None
                self._set_aside(f"{folder}/", error.strerror)
                continue
            if (found.st_dev, found.st_ino) in self.seen:
                self._set_aside(folder, "leads to a folder that is listed under another name")
                continue
            self.seen.add((found.st_dev, found.st_ino))
            for entry in entries:
                name = f"{folder}/{entry.name}" if folder else entry.name
                if entry.name.startswith("."):
                    self.listing.skipped["hidden"] += 1
                elif entry.is_symlink() and os.path.isdir(entry.path):
                    self.links.append(name)
                elif entry.is_dir(follow_symlinks=False):
                    folders.append(name)
                else:
                    self._file(entry, name)

    def _file(self, entry: "os.DirEntry[str]", name: str) -> None:
        ending = os.path.splitext(entry.name)[1].lower()
        try:
            size = entry.stat().st_size
        except OSError as error:
            self._set_aside(name, f"a link that leads nowhere ({error.strerror})" if entry.is_symlink() else error.strerror)
            return
        if ending not in EXTENSIONS:
            self.listing.skipped[ending or "no ending"] += 1
            if entry.is_file() and ending in SHARDS:
                self.listing.shards.append(name)
            elif name.lower().endswith(COMPRESSED):
                self.listing.compressed.append(name)
        elif not entry.is_file():
            self._set_aside(name, "not a regular file")
        else:
            self.listing.files.append((name, size))

    def _set_aside(self, name: str, reason: str | None) -> None:
        self.listing.aside.append((printable(name), reason or "cannot be listed"))
