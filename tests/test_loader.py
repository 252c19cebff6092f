"""Order: every image once an epoch, whole batches, a function of (seed, step); streaming gives what residence gives."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from stopgrad.config import Run
from stopgrad.errors import UserError
from stopgrad.images.pool import Pool
from stopgrad.images.sources import open_splits
from stopgrad.loader import Order, Resident, Streaming


def test_an_epoch_shows_every_image_once_in_whole_batches() -> None:
    order = Order(seed=3, images=23, batch=5)
    assert order.steps_per_epoch == 4
    rows = torch.cat([order.of_step(s) for s in range(4)])
    assert len(set(rows.tolist())) == 20
    assert not torch.equal(order.epoch(0), order.epoch(1))
    assert not torch.equal(order.epoch(0), Order(seed=4, images=23, batch=5).epoch(0))


def test_the_order_is_a_function_of_the_step() -> None:
    order = Order(seed=0, images=11, batch=3)
    for step, rows in zip(range(2, 9), order.of_steps(2, 9), strict=True):
        assert torch.equal(rows, order.of_step(step))
    assert order.of_step(4).tolist() == Order(seed=0, images=11, batch=3).of_step(4).tolist()


def test_a_batch_larger_than_the_images_is_answered() -> None:
    with pytest.raises(UserError, match=r"train.batch: 16 is more than the 10 images"):
        Order(seed=0, images=10, batch=16)


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.whole)])
def test_streaming_decodes_what_residence_holds_and_names_the_broken(tmp_path: Path, toy: Run, workers: int) -> None:
    rng = np.random.default_rng(0)
    for i in range(9):
        Image.fromarray(rng.integers(0, 255, (10 + i, 12), dtype=np.uint8)).save(tmp_path / f"{i}.png")
    content = (tmp_path / "4.png").read_bytes()
    (tmp_path / "4.png").write_bytes(content[: len(content) // 2])  # the header is whole
    source = open_splits(str(tmp_path), "none").train
    assert len(source) == 9
    order = Order(seed=0, images=9, batch=3)
    images = {i: source.read(i, toy.data) for i in range(9) if i != 4}
    streaming = Streaming(source, toy.data, np.arange(9), workers, torch.device("cpu"), 12)
    bad = []
    for step, batch in enumerate(streaming.fetch(order.of_steps(0, 6))):
        for row, index in zip(batch.rows.tolist(), order.of_step(step).tolist(), strict=True):
            assert np.array_equal(batch.pool.image(row).numpy(), images[5 if index == 4 else index])
        bad += batch.bad
    assert [name for name, _ in bad] == ["4.png", "4.png"]  # once an epoch


def test_a_resident_pool_hands_out_its_rows() -> None:
    pool = Pool.from_arrays([np.full((1, 2, 2), i, np.uint8) for i in range(6)])
    order = Order(seed=0, images=6, batch=2)
    batches = list(Resident(pool, np.arange(6), torch.device("cpu")).fetch(order.of_steps(1, 5)))
    assert [b.rows.tolist() for b in batches] == [order.of_step(s).tolist() for s in range(1, 5)]
