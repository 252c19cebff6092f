"""Promise 6: no image is lost silently. A folder of everything that breaks pipelines is read right or set aside by name."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from stopgrad.config import Data
from stopgrad.errors import UserError
from stopgrad.images.pool import load
from stopgrad.images.sources import open_splits
from stopgrad.loader import open_supply
from tests.images.corpus import hostile_folder, pixels

DATA = Data(source="", channels=3, mean=(0.5,), std=(0.25,), size=8, short_side=None)

PROCESS = """
import resource, sys
import torch
from stopgrad.config import Data
from stopgrad.images.inspect import inspect
from stopgrad.images.pool import load
from stopgrad.images.sources import open_splits
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
splits = open_splits(sys.argv[1])
found = inspect(splits)
loaded = load(splits.train, Data(source="", channels=3, mean=(0.5,), std=(0.25,), size=8, short_side=None))
assert found.images == len(loaded.rows)
assert dict(found.bad) == dict(loaded.bad)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_every_file_is_used_rightly_or_set_aside_by_name(tmp_path: Path) -> None:
    expected = hostile_folder(tmp_path)
    source = open_splits(tmp_path).train
    loaded = load(source, DATA)
    used = {source.names[int(i)]: loaded.pool.image(row).numpy() for row, i in enumerate(loaded.rows)}
    assert {name: image.shape[1:] for name, image in used.items()} == expected.used
    assert {name for name, _ in loaded.bad} == set(expected.aside)
    for name, reason in loaded.bad:
        assert expected.aside[name] in reason, name

    grey = np.stack([pixels(channels=1, dtype=np.uint16)] * 3)
    assert np.array_equal(used["grey16.png"], grey)  # the range is kept: the others are brought to 16 bits
    picture = np.moveaxis(pixels(), -1, 0).astype(np.uint16) * 257
    odd = [name for name in used if name.startswith(("naïve", "latin1"))]
    assert len(odd) == 2
    for name in odd:
        assert np.array_equal(used[name], picture)
    assert used["palette.png"].max() == 65535  # what is transparent is white


def test_a_run_stops_before_training_and_lists_the_files(tmp_path: Path) -> None:
    expected = hostile_folder(tmp_path)
    source = open_splits(tmp_path).train
    with pytest.raises(UserError, match=r"data\.max_bad allows 1\.0%") as stopped:
        open_supply(source, DATA, torch.device("cpu"), str, list)
    for name in expected.aside:
        assert f"{name} (" in str(stopped.value)


@pytest.mark.whole
def test_the_process_never_crashes_and_its_memory_stays_small(tmp_path: Path) -> None:
    hostile_folder(tmp_path)
    done = subprocess.run([sys.executable, "-W", "error", "-c", PROCESS, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 300  # MB above importing torch


@pytest.mark.whole
def test_the_preflight_names_every_file_that_will_be_set_aside(tmp_path: Path) -> None:
    expected = hostile_folder(tmp_path)
    done = subprocess.run([sys.executable, "-m", "stopgrad", "inspect", str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert f"bad files   {len(expected.aside)} (set aside):" in lines
    for name in expected.aside:
        assert any(line.startswith(f"  {name}: ") for line in lines)
