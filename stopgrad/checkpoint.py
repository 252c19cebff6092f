"""Checkpoints: whole or not at all, and checked before they are believed.

A checkpoint is a folder ``step-NNNNNNNN`` with ``state.safetensors`` and ``manifest.json``. It is written under a temporary name, made
durable, and renamed. The manifest holds the SHA-256 of the tensors and of its own record; a torn or altered checkpoint is named and passed over.
"""

import hashlib
import json
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from stopgrad import __version__
from stopgrad.distributed import everyones, wait
from stopgrad.errors import UserError
from stopgrad.files import sync
from stopgrad.world import world

FORM = 1
"""Version of the written form."""


@dataclass
class Checkpoint:
    """A state that was read back and found whole."""

    step: int
    tensors: dict[str, Tensor]
    record: dict[str, Any]
    passed_over: list[str] = field(default_factory=list)
    """One line for every newer checkpoint that was damaged."""


def save_checkpoint(folder: Path, step: int, tensors: dict[str, Tensor], record: dict[str, Any], keep: int, milestone: bool = False) -> Path:
    """Write the state of ``step`` and delete all but the newest ``keep`` and the milestones.

    Raises UserError when the disk refuses; nothing is lost then.
    """
    final = folder / f"step-{step:08d}"
    assert not final.exists(), "a step is saved once: a whole checkpoint is never replaced, a damaged one is set aside when it is found"
    temporary = folder / f".tmp-{final.name}-{os.getpid()}"
    try:
        folder.mkdir(exist_ok=True)
        _clear_temporary(folder)
        temporary.mkdir()
        content = save({name: t.detach().cpu().clone(memory_format=torch.contiguous_format) for name, t in tensors.items()})
        manifest = {"form": FORM, "stopgrad": __version__, "torch": torch.__version__, "step": step, "milestone": milestone, "record": record}
        manifest |= {"state_bytes": len(content), "state_sha256": hashlib.sha256(content).hexdigest()}
        manifest["manifest_sha256"] = _digest(manifest)
        _write(temporary / "state.safetensors", content)
        _write(temporary / "manifest.json", json.dumps(manifest, indent=2).encode())
        sync(temporary)
        os.replace(temporary, final)
        sync(folder)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise UserError(
            f"{final}: the checkpoint could not be written ({error.strerror}); make room and run the same command again, it resumes"
        ) from None
    _prune(folder, keep)
    return final


def load_checkpoint(folder: Path) -> Checkpoint | None:
    """Return the newest whole checkpoint, or None when there never was one. Damaged ones are set aside under another name.

    Raises UserError when there are some and all are damaged: starting anew is then the user's decision.
    """
    names = sorted((p for p in folder.glob("step-*") if p.is_dir()), reverse=True) if folder.is_dir() else []
    passed_over: list[str] = []
    for path in names:
        try:
            manifest, tensors = _read(path)
        except Damaged as damage:
            aside = _set_aside(path)
            passed_over.append(f"{path}: {damage}; set aside as {aside.name}")
            continue
        return Checkpoint(manifest["step"], tensors, manifest["record"], passed_over)
    passed_over = passed_over or [f"{path.name} was set aside before" for path in sorted(folder.glob("damaged-*"))]
    if passed_over:
        raise UserError(f"{folder}: no whole checkpoint is left ({'; '.join(passed_over)}); delete {folder} to start anew")
    return None


def load_together(folder: Path) -> Checkpoint | None:
    """Return what ``load_checkpoint`` does, the same in every process; the first sets damaged ones aside before the others look.

    Raises UserError in every process where one has nothing to go on from, or another step than the others.
    """
    found, wrong = None, ""
    if not world().first:
        wait()
    try:
        found = load_checkpoint(folder)
    except UserError as error:
        wrong = str(error)
    if world().first:
        wait()
    told = everyones((wrong, None if found is None else found.step))
    if first_wrong := next((line for line, _ in told if line), ""):
        raise UserError(first_wrong)
    if len(set(told)) > 1:
        raise UserError(f"{folder}: the processes see different newest checkpoints; is the folder shared, and up to date everywhere?")
    return found


class Damaged(Exception):
    """Why a checkpoint is not believed."""


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        manifest = json.loads((path / "manifest.json").read_bytes())
        content = (path / "state.safetensors").read_bytes()
    except (OSError, ValueError) as error:
        raise Damaged(f"unreadable ({error})") from None
    if not isinstance(manifest, dict) or manifest.get("form") != FORM:
        raise Damaged("its manifest is of another form")
    if manifest.pop("manifest_sha256", None) != _digest(manifest):
        raise Damaged("its manifest was altered")
    if len(content) != manifest["state_bytes"]:
        raise Damaged(f"its state has {len(content)} bytes of {manifest['state_bytes']}")
    if hashlib.sha256(content).hexdigest() != manifest["state_sha256"]:
        raise Damaged("its state was altered")
    return manifest, load(content)


def _set_aside(path: Path) -> Path:
    """Rename a damaged checkpoint, so that it neither counts as kept nor is lost."""
    number = 1
    while (aside := path.with_name(f"damaged-{number}-{path.name}")).exists():
        number += 1
    path.rename(aside)
    return aside


def _digest(manifest: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    sync(path)


def _clear_temporary(folder: Path) -> None:
    """Remove what a killed process left half-written; the run's lock says that nobody is writing now."""
    for path in folder.glob(".tmp-*"):
        shutil.rmtree(path)


def _prune(folder: Path, keep: int) -> None:
    """Delete the older checkpoints, newest ``keep`` and milestones excepted."""
    passing = [path for path in sorted(folder.glob("step-*"), reverse=True) if not _is_milestone(path)]
    for path in passing[keep:]:
        shutil.rmtree(path)


def _is_milestone(path: Path) -> bool:
    try:
        return bool(json.loads((path / "manifest.json").read_bytes())["milestone"])
    except (OSError, ValueError, KeyError):
        return True  # damaged since it was written: deleting it is the user's to decide
