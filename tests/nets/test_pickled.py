"""Files of weights from elsewhere: tensors come out, nothing is executed, and every other file is told in one line."""

import argparse
import os
import pickle
import subprocess
import sys
import tarfile
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from stopgrad.errors import UserError
from stopgrad.nets.pickled import PASSED_OVER, read

FORMS = {"zip": True, "legacy": False}
STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.ones(2)}


class Touch:
    """Unpickled by Python, it makes a file; the path is the proof."""

    def __init__(self, proof: Path, how: Callable[..., Any]) -> None:
        self.proof, self.how = proof, how

    def __reduce__(self) -> tuple[Any, ...]:
        if self.how is os.system:
            return os.system, (f"touch '{self.proof}'",)
        if self.how is eval:
            return eval, (f"open({str(self.proof)!r}, 'w').close()",)
        return self.how, (str(self.proof), os.O_CREAT | os.O_WRONLY)


@pytest.mark.parametrize("form", FORMS)
def test_what_training_scripts_save_beside_the_weights_is_passed_over(form: str, tmp_path: Path) -> None:
    beside = {"args": argparse.Namespace(lr=0.1, out=Path("/x")), "best": np.float64(0.7), "curve": np.arange(4.0), "epoch": 3}
    torch.save({"state_dict": STATE} | beside, tmp_path / "f", _use_new_zipfile_serialization=FORMS[form])
    found = read(tmp_path / "f")
    assert found["epoch"] == 3
    for name, value in STATE.items():
        assert torch.equal(found["state_dict"][name], value)
    assert not isinstance(found["args"], argparse.Namespace)


def test_containers_of_packages_that_are_not_installed_are_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As OmegaConf's and mmengine's lie in a file: by name, with a state. The packages are gone when it is read."""
    names = [name.rpartition(".") for names in PASSED_OVER.values() for name in names if name.startswith(("omegaconf", "mmengine"))]
    made = []
    with monkeypatch.context() as there:
        for package in ("omegaconf", "mmengine", "mmengine.logging"):
            there.setitem(sys.modules, package, types.ModuleType(package))
        for module, _, name in names:
            there.setitem(sys.modules, module, sys.modules.get(module, types.ModuleType(module)))
            kind = type(name, (), {"__module__": module})
            setattr(sys.modules[module], name, kind)
            thing = kind()
            thing.__dict__["_content"] = {"lr": 0.1, "flags": {"a": [1, "x", None]}}
            made.append(thing)
        torch.save({"state_dict": STATE, "hyper_parameters": made}, tmp_path / "f.ckpt")
    assert len(read(tmp_path / "f.ckpt")["hyper_parameters"]) == len(names) > 5
    assert not any(module in sys.modules for module, _, _ in names)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("how", [os.system, eval, os.open], ids=["system", "eval", "open"])
@pytest.mark.parametrize("where", ["whole", "beside", "in the arguments", "among the weights"])
def test_a_poisoned_file_is_refused_and_nothing_of_it_runs(form: str, how: Callable[..., Any], where: str, tmp_path: Path) -> None:
    proof = tmp_path / "proof"
    evil = Touch(proof, how)
    content: dict[str, Any] = {
        "whole": evil,
        "beside": {"state_dict": STATE, "epoch": evil},
        "in the arguments": {"state_dict": STATE, "args": argparse.Namespace(lr=evil)},
        "among the weights": {"state_dict": STATE | {"a.bias": evil}},
    }
    path = tmp_path / "weights.pth"
    torch.save(content[where], path, _use_new_zipfile_serialization=FORMS[form])
    wanted = (
        rf"weights\.pth: asks for (posix\.|nt\.)?{how.__name__}, which is .*refused, and nothing of it was run; .*save_file\(model\.state_dict\(\)"
    )
    with pytest.raises(UserError, match=wanted) as caught:
        read(path)
    assert "\n" not in str(caught.value)
    assert not proof.exists()
    if form == "legacy" and how is os.system:
        torch.load(path, weights_only=False) if where != "whole" else None
        assert proof.exists() == (where != "whole")  # it would have run


@pytest.mark.parametrize("protocol", [0, 1, 3, 4, 5])
def test_other_pickles_are_refused_too(protocol: int, tmp_path: Path) -> None:
    (tmp_path / "f.pkl").write_bytes(pickle.dumps(Touch(tmp_path / "proof", os.system), protocol=protocol))
    with pytest.raises(UserError, match=r"f\.pkl: "):
        read(tmp_path / "f.pkl")
    assert not (tmp_path / "proof").exists()


def test_a_whole_module_is_refused_by_its_class(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2), tmp_path / "f.pt")
    with pytest.raises(UserError, match=r"asks for torch\.nn\.modules\.linear\.Linear, which is neither a tensor nor a plain container"):
        read(tmp_path / "f.pt")


def test_every_other_kind_of_file_is_called_by_its_name(tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / "good.pth")
    with tarfile.open(tmp_path / "f.tar", "w") as archive:
        archive.add(tmp_path / "good.pth", "good.pth")
    cases = {
        b"": "empty",
        b"<!DOCTYPE html>\n<html><head>": "is a web page",
        b"\n  <html><body>404": "is a web page",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0a\nsize 97\n": r"is a git-lfs pointer, .* git lfs pull",
        b"epoch,loss\n0,1.5\n1,1.2\n": "is a text",
        b"\x1f\x8b\x08\x00" + bytes(20): "is compressed; unpack it",
        b"\x89HDF\r\n\x1a\n" + bytes(20): "is an HDF5 file",
        bytes(range(200, 250)): "is neither safetensors nor a file of torch.save's",
        (tmp_path / "f.tar").read_bytes(): "is a tar archive: unpack it",
        b"PK\x03\x04" + bytes(50): "cut short, damaged, or no file of torch.save's",
        (20).to_bytes(8, "little") + b'{"a": 1}': "cannot be read as safetensors",
    }
    for content, said in cases.items():
        (tmp_path / "f.pth").write_bytes(content)
        with pytest.raises(UserError, match=rf"f\.pth: {said}") as caught:
            read(tmp_path / "f.pth")
        assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="none: no such file"):
        read(tmp_path / "none")
    with pytest.raises(UserError, match=r"cannot be read \(Is a directory\)"):
        read(tmp_path)
    torch.save([torch.ones(2)], tmp_path / "list.pth")
    with pytest.raises(UserError, match="holds a list, not weights by name"):
        read(tmp_path / "list.pth")


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_torchscript_program_is_refused(tmp_path: Path) -> None:
    torch.jit.script(nn.Linear(2, 2)).save(tmp_path / "f.pt")
    with pytest.raises(UserError, match="a TorchScript program, not weights"):
        read(tmp_path / "f.pt")


@pytest.mark.parametrize("form", [*FORMS, "safetensors"])
def test_a_file_cut_short_anywhere_is_refused(form: str, tmp_path: Path) -> None:
    path = tmp_path / "f"
    save_file(STATE, path) if form == "safetensors" else torch.save({"state_dict": STATE}, path, _use_new_zipfile_serialization=FORMS[form])
    content = path.read_bytes()
    for length in range(0, len(content), max(1, len(content) // 150)):
        path.write_bytes(content[:length])
        with pytest.raises(UserError, match="f: "):
            read(path)


@pytest.mark.whole
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_large_file_is_mapped_not_copied(tmp_path: Path) -> None:
    """Of 256 MB, almost all an optimiser's, only the weights that are used take memory of the process's own."""
    torch.save({"state_dict": STATE, "optimizer": {"state": {0: torch.zeros(64 << 20)}}}, tmp_path / "f.pth")
    code = (
        "import sys; from pathlib import Path; from stopgrad.nets.pickled import read\n"
        "def own(): return int(next(l for l in open('/proc/self/status') if l.startswith('VmHWM')).split()[1]) // 1024\n"
        "before = own(); found = read(Path(sys.argv[1])); found['state_dict']['a.weight'].sum(); print(own() - before)"
    )
    grown = subprocess.run([sys.executable, "-c", code, str(tmp_path / "f.pth")], check=True, capture_output=True, text=True).stdout
    assert int(grown) < 64
