"""Files of weights that others wrote, read without executing anything that stands in them.

PyTorch's files are pickles. torch's weights_only reader builds tensors and plain containers and refuses every other class before it
is imported; what many training scripts save beside the weights (their arguments, numpy's numbers) is passed over, not built.
"""

import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from struct import error as StructError
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from stopgrad.errors import UserError

Tree = Mapping[str, Any]
"""What a file holds: names to tensors, to other such mappings, or to anything else that was saved beside them."""

PASSED_OVER = {
    "arguments of a training script": ("argparse.Namespace",),
    "paths among them": ("pathlib.PosixPath", "pathlib.WindowsPath", "pathlib.PurePosixPath", "pathlib.PureWindowsPath", "pathlib._local.PosixPath"),
    "numpy's numbers and arrays, such as a best accuracy": (
        *(f"numpy.{core}.multiarray.{name}" for core in ("core", "_core") for name in ("scalar", "_reconstruct")),
        "numpy.dtype",
        "numpy.ndarray",
    ),
    "a configuration kept by OmegaConf": (
        "omegaconf.dictconfig.DictConfig",
        "omegaconf.listconfig.ListConfig",
        "omegaconf.base.ContainerMetadata",
        "omegaconf.base.Metadata",
        *(f"omegaconf.nodes.{kind}Node" for kind in ("Any", "String", "Integer", "Float", "Boolean", "Path")),
        "typing.Any",
        *(f"builtins.{kind}" for kind in ("dict", "list", "str", "int", "float", "bool")),
        "collections.defaultdict",
    ),
    "mmengine's record of past losses": ("mmengine.logging.history_buffer.HistoryBuffer",),
}
"""Why a file of weights has it, and its names. None of these classes is imported or built: an empty object takes its place."""

_DAMAGES = (AssertionError, AttributeError, EOFError, IndexError, KeyError, OverflowError, RuntimeError, StructError, TypeError, ValueError)
"""What torch's reader raises for bytes that are no pickle of torch.save's, or only the beginning of one."""

_KINDS = (
    (rb"\s*<(!doctype|html|\?xml)", "is a web page: the download went wrong, take the file itself"),
    (rb"version https://git-lfs", "is a git-lfs pointer, not the file it stands for; fetch that with git lfs pull"),
    (rb"(\x1f\x8b|BZh|\xfd7zXZ|7z\xbc\xaf|\x28\xb5\x2f\xfd)", "is compressed; unpack it first"),
    (rb"\x89HDF", "is an HDF5 file, which is not PyTorch's"),
    (rb"[\x09\x0a\x0d\x20-\x7e]{16}", "is a text, not a file of weights"),
)
"""How other kinds of files begin."""

_PICKLE, _ZIP = b"\x80", b"PK\x03\x04"
_SAVE_AGAIN = (
    "where you trust it, load it in its own project and save the weights alone: "
    "safetensors.torch.save_file(model.state_dict(), 'weights.safetensors')"
)


class _Passed:
    """Stands where a file has something that is no weights; takes everything said of it, and keeps nothing."""

    def __new__(cls, *said: object) -> "_Passed":
        return super().__new__(cls)

    def __setstate__(self, state: object) -> None:
        pass


def read(path: Path) -> Tree:
    """Return what the file ``path`` holds, on the CPU: safetensors, or what torch.save wrote (.pth, .pt, .pth.tar, .ckpt, .bin).

    Whatever the name of the file says, its first bytes decide. Where its form allows, tensors are mapped from the file and take no
    memory until they are used; they must not be written to. Raises UserError, in one line, for every other file: missing, cut short,
    of another kind, or a pickle that asks for anything but tensors and plain containers. Nothing of that was executed.
    """
    try:
        with open(path, "rb") as file:
            head = file.read(512)
    except OSError as error:
        raise UserError(f"{path}: {'no such file' if isinstance(error, FileNotFoundError) else f'cannot be read ({error.strerror})'}") from None
    if not head:
        raise UserError(f"{path}: empty; take it from its source again")
    if head[8:9] == b"{":
        return _safetensors(path)
    if not head.startswith((_PICKLE, _ZIP)):
        raise UserError(f"{path}: {_kind(head)}")
    found = _torch(path, mmap=head.startswith(_ZIP))
    if not isinstance(found, Mapping):
        raise UserError(f"{path}: holds a {type(found).__name__}, not weights by name; {_SAVE_AGAIN}")
    return found


def metadata(path: Path) -> dict[str, str]:
    """Return the metadata of a safetensors file; none of any other."""
    try:
        with safe_open(path, "pt") as file:
            return file.metadata() or {}
    except (OSError, SafetensorError):
        return {}


def _safetensors(path: Path) -> Tree:
    try:
        with safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: cannot be read as safetensors, cut short or another kind of file ({error})") from None


def _torch(path: Path, mmap: bool) -> Any:
    passed = [(_Passed, name) for names in PASSED_OVER.values() for name in names]
    try:
        with torch.serialization.safe_globals(passed), warnings.catch_warnings():  # type: ignore[arg-type]
            warnings.simplefilter("ignore", UserWarning)  # of unusual pickles, which are read or refused below
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except UnpicklingError as error:
        raise UserError(f"{path}: {_refused(str(error))}") from None
    except _DAMAGES as error:
        if "TorchScript" in str(error):
            raise UserError(f"{path}: a TorchScript program, not weights; {_SAVE_AGAIN}") from None
        raise UserError(f"{path}: cut short, damaged, or no file of torch.save's; take it from its source again") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from None


def _refused(said: str) -> str:
    """Return what to tell of a pickle that weights_only refused, from what torch said of it."""
    wanted = re.search(r"GLOBAL (\S+)", said)
    if wanted:
        return f"asks for {wanted[1]}, which is neither a tensor nor a plain container: refused, and nothing of it was run; {_SAVE_AGAIN}"
    if "Unsupported operand" in said:
        return f"a pickle, but not of torch.save's kind: refused, and nothing of it was run; {_SAVE_AGAIN}"
    return f"builds objects that are no weights: refused, and nothing of them was run; {_SAVE_AGAIN}"


def _kind(head: bytes) -> str:
    if head[257:262] == b"ustar":
        return f"is a tar archive: unpack it, or, when it is of PyTorch before 0.1.10, {_SAVE_AGAIN}"
    return next((said for start, said in _KINDS if re.match(start, head, re.IGNORECASE)), "is neither safetensors nor a file of torch.save's")
