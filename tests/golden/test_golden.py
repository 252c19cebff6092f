"""The first ten losses of a tiny run are those on file."""

import json

import pytest

from tests.golden.runs import FOLDER, golden_run, losses


def test_ten_losses() -> None:
    run = golden_run()
    on_file = json.loads((FOLDER / f"{run.method.name}.json").read_text())
    assert losses(run) == pytest.approx(on_file, rel=2e-4, abs=2e-5)  # libraries of another version may sum in another order
    assert max(on_file) - min(on_file) > 0.01
