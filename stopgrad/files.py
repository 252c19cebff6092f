"""Files that appear whole or not at all: a reader, or a machine that loses power, sees the old one or the new one."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from stopgrad.errors import UserError


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Yield a path beside ``path``; what is written there becomes ``path`` at the end, or nothing does. A missing folder is made.

    Raises UserError when the disk does not take it.
    """
    temporary = path.with_name(f".tmp-{path.name}-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            sync(temporary)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        sync(path.parent)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error}); make room or choose another place") from None


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder beside ``path``, which is not there; it becomes ``path`` at the end, or is taken away. Missing folders are made.

    Raises UserError when the disk does not take it. A process that is killed leaves ``path``.partial-PID.
    """
    temporary = path.with_name(f"{path.name}.partial-{os.getpid()}")
    made = [folder for folder in path.parents if not folder.exists()]
    if temporary.exists():
        raise UserError(f"{temporary}: left by a process that was killed, or another machine is writing it; remove it or choose another place")
    try:
        try:
            temporary.mkdir(parents=True)
            yield temporary
            for inside in (*temporary.rglob("*"), temporary):
                sync(inside)
            temporary.rename(path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
            if not path.exists():
                with suppress(OSError):  # somebody else has put something there
                    for folder in made:
                        folder.rmdir()
        sync(path.parent)
    except BrokenPipeError:  # nobody reads what is said meanwhile
        raise
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error}); make room or choose another place") from None


def write_whole(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path``, whole or not at all."""
    with whole(path) as temporary:
        temporary.write_bytes(content)


def refuse_unwritable(folder: Path) -> None:
    """Raise UserError when ``folder`` cannot be made, or takes no file. Nothing is left there."""
    nearest = next(place for place in (folder.absolute(), *folder.absolute().parents) if os.path.exists(place))  # Path's raises where it may not look
    try:
        tempfile.TemporaryDirectory(prefix=".tmp-", dir=nearest).cleanup()
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror or error}); choose another --out") from None


def sync(path: Path) -> None:
    """Make a file's content, or the names in a folder, durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
