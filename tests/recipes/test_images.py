"""The recipe for one's own images chooses what can be trained, and says why."""

from dataclasses import replace

import pytest

from stopgrad.config import Found, problems
from stopgrad.recipes.images import Machine, images

PHOTOS = Found(
    source="photos",
    images=3000,
    test_images=0,
    bad=(),
    short_side=(100, 1200, 4000),
    equal_size=False,
    channels=((3, 2900), (1, 100)),
    bits=8,
    classes=0,
    duplicates=0,
    decoded_bytes=10**10,
    mean=(0.48, 0.45, 0.4),
    std=(0.2, 0.2, 0.0),
)
GREY = replace(PHOTOS, short_side=(28, 28, 28), equal_size=True, channels=((1, 3000),), mean=(0.3,), std=(0.3,))


@pytest.mark.parametrize("machine", [Machine(gpu=True, cores=16), Machine(gpu=False, cores=2)], ids=["gpu", "cpu"])
@pytest.mark.parametrize("found", [PHOTOS, GREY, replace(GREY, images=2), replace(PHOTOS, images=2_000_000), replace(PHOTOS, short_side=(1, 1, 1))])
def test_every_choice_is_a_run_that_can_be_trained(found: Found, machine: Machine) -> None:
    chosen = images(found, machine)
    assert problems(chosen.run) == []
    assert chosen.run.train.batch <= max(found.images, 2)
    assert len(chosen.reasons) >= 5


def test_photographs_on_a_gpu_get_the_papers_setting() -> None:
    run = images(PHOTOS, Machine(gpu=True, cores=16)).run
    assert (run.views[0].size, run.net.stem, run.views[0].blur, run.data.channels) == (224, "imagenet", 0.5, 3)
    assert run.data.short_side == 512  # 224 / sqrt(0.2) = 501: the smallest crop still fills a view


def test_small_grey_images_get_a_small_stem_and_no_colour() -> None:
    run = images(GREY, Machine(gpu=False, cores=2)).run
    assert (run.views[0].size, run.net.stem, run.views[0].blur, run.data.channels, run.data.short_side) == (28, "small", 0.0, 1, None)
    assert run.views[0].jitter[2:] == (0.0, 0.0)
    assert run.views[0].grey == 0.0
