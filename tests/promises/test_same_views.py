"""Promise 2: augmentation parameters are a pure function of (seed, step, position in the global batch)."""

import hashlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stopgrad import distributed
from stopgrad.config.run import View
from stopgrad.loader import Order
from stopgrad.train import local_places, render_views
from stopgrad.views.sample import DRAWS, ViewParams, sample, uniforms
from tests.golden.runs import images
from tests.toys import TOYS, toy_run

VIEW = View(size=32, scale=(0.2, 1.0), flip=0.5, jitter=(0.4, 0.4, 0.4, 0.1), jitter_p=0.8, grey=0.2, blur=0.5, solarise=0.2)
HEIGHTS, WIDTHS = torch.arange(20, 148), torch.arange(147, 19, -1)


def columns(params: ViewParams) -> dict[str, torch.Tensor]:
    return {name: column for name, column in vars(params).items() if name != "size"}


def digest(params: ViewParams) -> str:
    return hashlib.sha256(b"".join(column.contiguous().numpy().tobytes() for column in columns(params).values())).hexdigest()


@settings(max_examples=40, deadline=None)
@given(start=st.integers(0, 127), length=st.integers(1, 128))
def test_a_part_of_the_batch_sampled_alone_is_that_part_of_the_batch(start: int, length: int) -> None:
    u, part = uniforms(3, 14, 1, 128), slice(start, start + length)
    alone, whole = sample(VIEW, u[part], HEIGHTS[part], WIDTHS[part]), sample(VIEW, u, HEIGHTS, WIDTHS)
    for name, column in columns(whole.rows(part)).items():
        assert torch.equal(columns(alone)[name], column), name


def test_the_draws_are_a_function_of_seed_step_view_and_position_alone() -> None:
    first = uniforms(5, 6, 0, 512)
    torch.manual_seed(0)
    np.random.default_rng(0).random(7)
    uniforms(1, 2, 0, 3)
    assert torch.equal(uniforms(5, 6, 0, 512), first)
    assert torch.equal(uniforms(5, 6, 0, 100), first[:100])


def test_no_two_keys_share_their_draws() -> None:
    """Also seeds and steps that agree in their low 32 bits, and keys whose digits are the same when written in a row."""
    keys = [(seed, step, view) for seed in (0, 1, 11, 2**32, 2**70) for step in (0, 1, 11, 2**32) for view in (0, 1)]
    firsts = torch.cat([uniforms(*key, 4) for key in keys])
    assert firsts.shape == (len(keys) * 4, DRAWS)
    assert len(firsts.unique()) == firsts.numel()


def test_the_parameters_of_one_key_are_these_on_every_machine_and_version() -> None:
    """A change here changes every run that is resumed or repeated: name it in the changelog."""
    params = sample(VIEW, uniforms(7, 1000, 1, 128), HEIGHTS, WIDTHS)
    assert digest(params) == "e05be347415ccdf800d15d1995195de388d6b7abafa9eed26e64e2c1b1430a73"


@pytest.mark.parametrize("name", TOYS)
@pytest.mark.parametrize("processes", [2, 3])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_processes_together_show_the_views_of_one(name: str, processes: int, accumulate: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bit for bit: process r renders the r-th slice of every part of the batch, as one process would."""
    run = toy_run(name, accumulate=accumulate)
    supply = images()
    numbers = Order(3, len(supply), run.train.batch).of_step(4)
    whole = [list(views) for views in render_views(run, next(supply.fetch([numbers])), 4)]
    slices = []
    for rank in range(processes):
        monkeypatch.setattr(distributed, "size", lambda: processes)
        monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
        monkeypatch.setattr("stopgrad.train.size", lambda: processes)
        batch = next(supply.fetch([numbers[local_places(run)]]))
        slices.append([list(views) for views in render_views(run, batch, 4)])
    for part in range(accumulate):
        for view in range(len(run.views)):
            assert torch.equal(torch.cat([s[part][view] for s in slices]), whole[part][view])
