"""Whether the images of a run can be reached by what its configuration keeps of them."""

from pathlib import Path

import pytest

from stopgrad.images.place import ARRAYS, BUNDLED, reachable


def test_what_is_there_is_reachable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "photos").mkdir()
    assert [reachable(source) for source in (BUNDLED, "photos", "~/photos", ARRAYS, "moved")] == [True, True, True, False, False]
