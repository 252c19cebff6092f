"""Promise 2: augmentation parameters are a pure function of (seed, step, position in the global batch)."""

import hashlib
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stopgrad import distributed
from stopgrad.config import set_value
from stopgrad.config.run import View
from stopgrad.loader import Order
from stopgrad.train import local_places, render_views
from stopgrad.views.further import OWN_DRAWS
from stopgrad.views.sample import DRAWS, FURTHER_DRAWS, ViewParams, sample, uniforms
from tests.golden.runs import images
from tests.toys import TOYS, toy_run

VIEW = View(size=32, scale=(0.2, 1.0), flip=0.5, jitter=(0.4, 0.4, 0.4, 0.1), jitter_p=0.8, grey=0.2, blur=0.5, solarise=0.2)
FEW: tuple[dict[str, Any], ...] = (
    {"shared_crop": (0.3, 1.0), "rotate": 0.5, "sobel": 0.3, "noise": 0.5, "cutout": 0.5},
    {"shared_crop": (0.3, 1.0), "policy": "imagenet"},
)
HEIGHTS, WIDTHS = torch.arange(20, 148), torch.arange(147, 19, -1)


def columns(params: ViewParams) -> dict[str, torch.Tensor]:
    """All that is drawn of every view, and of a view with more than that, more."""
    further = {} if params.further is None else vars(params.further)
    return {name: column for name, column in (vars(params) | further).items() if isinstance(column, torch.Tensor)}


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


def test_what_few_views_have_is_drawn_beside_what_all_have() -> None:
    """A rotation more, or a crop that is shared, changes no crop and no colour of old; only the shared crop's draws are those of other views."""
    few = replace(VIEW, rotate=0.5, policy="imagenet", sobel=0.1, noise=0.5, cutout=0.5)
    plain, more = uniforms(5, 6, 0, 64), uniforms(5, 6, 0, 64, further=True)
    assert (plain.shape[1], more.shape[1]) == (DRAWS, FURTHER_DRAWS)
    assert torch.equal(more[:, :DRAWS], plain)
    assert torch.equal(uniforms(5, 6, 0, 9, further=True), more[:9])
    assert digest(replace(sample(few, more, HEIGHTS[:64], WIDTHS[:64]), further=None)) == digest(sample(VIEW, plain, HEIGHTS[:64], WIDTHS[:64]))
    other = uniforms(5, 6, 1, 64, further=True)
    shared = DRAWS + OWN_DRAWS
    assert torch.equal(other[:, shared:], more[:, shared:])
    apart = torch.cat((more, other[:, :shared]), 1)
    assert len(apart.unique()) == apart.numel()


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
    few = replace(VIEW, shared_crop=(0.5, 1.0), rotate=0.5, policy="cifar10", sobel=0.1, noise=0.5, cutout=0.5)
    assert (
        digest(sample(few, uniforms(7, 1000, 1, 128, further=True), HEIGHTS, WIDTHS))
        == "11678359c86efad46f4062e3e25cd6c1649adfa7e0a0b0461b05741c242f0e3a"
    )


@pytest.mark.parametrize("name", [*TOYS, "few", "pairs"])
@pytest.mark.parametrize("processes", [2, 3])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_processes_together_show_the_views_of_one(name: str, processes: int, accumulate: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bit for bit: process r renders the r-th slice of every part of the batch, as one process would. few: with rare operations; pairs: two."""
    run = toy_run({"few": "simclr", "pairs": "simsiam"}.get(name, name), accumulate=accumulate)
    if name == "pairs":
        run = set_value(run, "method.pairs_of_views", "2")
    if name == "few":
        run = replace(run, views=tuple(replace(view, **few) for view, few in zip(run.views, FEW, strict=True)))
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
        for view in range(len(run.shown)):
            assert torch.equal(torch.cat([s[part][view] for s in slices]), whole[part][view])
        assert not any(torch.equal(whole[part][0], other) for other in whole[part][1:])
