"""The first ten losses of a tiny run are those on file, for every method and variant."""

import json
from pathlib import Path

import pytest

from tests.golden.runs import FOLDER, TOYS, golden_run, losses


@pytest.mark.parametrize("name", TOYS)
def test_ten_losses(name: str, tmp_path: Path) -> None:
    on_file = json.loads((FOLDER / f"{name}.json").read_text())
    assert losses(golden_run(name), tmp_path) == pytest.approx(on_file, rel=2e-4, abs=2e-5)  # libraries may sum in another order
    assert len(on_file) == 10
    assert max(on_file) - min(on_file) > 0.01
