"""Checkpoints: whole or not at all, verified, pruned, and the damaged named."""

import json
import os
from pathlib import Path

import pytest
import torch

from stopgrad.checkpoint import load_checkpoint, save_checkpoint
from stopgrad.errors import UserError
from tests.launched import torchrun


def save(folder: Path, step: int, keep: int = 3, milestone: bool = False) -> Path:
    tensors = {"a": torch.full((3,), float(step)), "n": torch.tensor(step)}
    return save_checkpoint(folder, step, tensors, {"seconds": step / 3}, keep, milestone)


def test_what_was_saved_comes_back(tmp_path: Path) -> None:
    save(tmp_path, 7)
    found = load_checkpoint(tmp_path)
    assert found is not None
    assert (found.step, found.record, found.passed_over) == (7, {"seconds": 7 / 3}, [])
    assert found.tensors["n"].item() == 7
    torch.testing.assert_close(found.tensors["a"], torch.full((3,), 7.0))


def test_nothing_saved_is_nothing(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path) is None
    assert load_checkpoint(tmp_path / "absent") is None


def damage_flip_state(path: Path) -> None:
    content = bytearray((path / "state.safetensors").read_bytes())
    content[-2] ^= 1
    (path / "state.safetensors").write_bytes(content)


def damage_cut_state(path: Path) -> None:
    content = (path / "state.safetensors").read_bytes()
    (path / "state.safetensors").write_bytes(content[:-1])


def damage_remove_state(path: Path) -> None:
    (path / "state.safetensors").unlink()


def damage_edit_manifest(path: Path) -> None:
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["step"] += 1
    (path / "manifest.json").write_text(json.dumps(manifest))


def damage_cut_manifest(path: Path) -> None:
    (path / "manifest.json").write_text((path / "manifest.json").read_text()[:40])


@pytest.mark.parametrize("damage", [damage_flip_state, damage_cut_state, damage_remove_state, damage_edit_manifest, damage_cut_manifest])
def test_a_damaged_one_is_named_set_aside_and_passed_over(tmp_path: Path, damage: object) -> None:
    save(tmp_path, 1)
    newest = save(tmp_path, 2)
    damage(newest)  # type: ignore[operator]
    found = load_checkpoint(tmp_path)
    assert found is not None
    assert found.step == 1
    assert len(found.passed_over) == 1
    assert "step-00000002" in found.passed_over[0]
    assert (tmp_path / "damaged-1-step-00000002").is_dir()
    save(tmp_path, 2, keep=1)
    assert [p.name for p in sorted(tmp_path.glob("step-*"))] == ["step-00000002"]


def test_all_damaged_is_an_error_not_a_new_start(tmp_path: Path) -> None:
    damage_flip_state(save(tmp_path, 1))
    with pytest.raises(UserError, match="no whole checkpoint is left"):
        load_checkpoint(tmp_path)


def test_the_newest_and_the_milestones_are_kept(tmp_path: Path) -> None:
    for step in range(1, 7):
        save(tmp_path, step, keep=2, milestone=step == 2)
    assert [p.name[-1] for p in sorted(tmp_path.glob("step-*"))] == ["2", "5", "6"]


def test_leftovers_of_a_killed_save_are_no_checkpoints_and_are_cleared(tmp_path: Path) -> None:
    save(tmp_path, 1)
    (tmp_path / ".tmp-step-00000002-123").mkdir()
    found = load_checkpoint(tmp_path)
    assert found is not None
    assert found.step == 1
    save(tmp_path, 3)
    assert not list(tmp_path.glob(".tmp-*"))


def test_a_full_disk_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path, 1)

    def refuse(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(UserError, match="No space left on device"):
        save(tmp_path, 2)
    monkeypatch.undo()
    found = load_checkpoint(tmp_path)
    assert found is not None
    assert found.step == 1
    assert not list(tmp_path.glob(".tmp-*"))


def test_all_damaged_is_an_error_also_when_it_is_asked_again(tmp_path: Path) -> None:
    damage_flip_state(save(tmp_path, 1))
    for said in ("altered", "was set aside before"):
        with pytest.raises(UserError, match=f"no whole checkpoint is left .*{said}"):
            load_checkpoint(tmp_path)


def what_processes_say(*folders: Path) -> list[str]:
    torchrun(2, "tests.resuming", *map(str, folders))
    return [folders[0].with_name(f"said-{rank}").read_text() for rank in range(2)]


@pytest.mark.slow
def test_processes_go_on_from_the_same_step_or_not_at_all(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    assert what_processes_say(one) == ["nothing"] * 2
    save(one, 1)
    damage_flip_state(save(one, 2))
    assert what_processes_say(one) == ["step 1"] * 2
    assert [path.name for path in one.glob("damaged-*")] == ["damaged-1-step-00000002"], "set aside once"
    assert all("the processes see different newest checkpoints" in said for said in what_processes_say(one, other))
    damage_flip_state(save(other, 3))
    assert all(said.startswith(f"refused: {other}: no whole checkpoint is left") for said in what_processes_say(other))
