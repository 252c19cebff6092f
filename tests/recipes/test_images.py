"""The recipes for one's own images choose what can be trained, and say why."""

from dataclasses import replace

import pytest

from stopgrad.config import METHODS, Found, from_json, problems, to_json
from stopgrad.errors import UserError
from stopgrad.recipes import IMAGES
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
    classes=7,
    duplicates=0,
    decoded_bytes=10**10,
    mean=(0.48, 0.45, 0.4),
    std=(0.2, 0.2, 0.0),
)
GREY = replace(PHOTOS, short_side=(28, 28, 28), equal_size=True, channels=((1, 3000),), mean=(0.3,), std=(0.3,))

GPU, CPU = Machine(gpu=True, cores=16), Machine(gpu=False, cores=2)
FOUND = [PHOTOS, GREY, *(replace(GREY, images=n) for n in (2, 3, 5, 100)), replace(PHOTOS, images=2_000_000), replace(PHOTOS, short_side=(1, 1, 1))]


@pytest.mark.parametrize("machine", [GPU, CPU], ids=["gpu", "cpu"])
@pytest.mark.parametrize("found", FOUND)
@pytest.mark.parametrize("name", IMAGES)
def test_every_choice_is_a_run_that_can_be_trained(name: str, found: Found, machine: Machine) -> None:
    chosen = images(found, machine, IMAGES[name])
    assert problems(chosen.run) == []
    assert from_json(to_json(chosen.run)) == chosen.run
    assert (chosen.run.recipe, chosen.run.method.name) == (name, IMAGES[name])
    assert chosen.run.train.batch <= max(found.images, 2)
    assert len(chosen.reasons) >= 5
    if chosen.run.data.channels != 3:
        assert all(view.jitter[2:] == (0.0, 0.0) and view.grey == 0.0 for view in chosen.run.views)


def test_simsiam_is_meant_where_no_method_is_named() -> None:
    assert images(PHOTOS, GPU) == images(PHOTOS, GPU, "simsiam")
    assert images(PHOTOS, GPU).run.recipe == "images"


@pytest.mark.parametrize("method", [name for name, settings in METHODS.items() if settings.needs_labels])
def test_methods_with_labels_ask_for_them(method: str) -> None:
    with pytest.raises(UserError, match=f"{method}: needs labels"):
        images(replace(PHOTOS, classes=0), GPU, method)


@pytest.mark.parametrize(("count", "queue", "momentum"), [(2, 1, 0.99), (3000, 1024, 0.99), (50_000, 4096, 0.99), (1_281_167, 65_536, 0.999)])
def test_mocos_queue_suits_the_number_of_images(count: int, queue: int, momentum: float) -> None:
    chosen = images(replace(PHOTOS, images=count), GPU, "moco")
    assert chosen.run.method.queue == queue
    assert queue <= count / 2
    assert chosen.run.method.momentum == momentum
    assert str(queue) in chosen.reasons["method.queue"]
    parts = chosen.run.train.bn_splits
    assert chosen.run.train.bn == "split"
    assert chosen.run.train.batch % parts == 0


@pytest.mark.parametrize(("count", "prototypes", "queue"), [(100, 30, 50), (3000, 30, 0), (50_000, 500, 0), (1_281_167, 3000, 7680)])
def test_swavs_prototypes_suit_the_number_of_images(count: int, prototypes: int, queue: int) -> None:
    settings = images(replace(PHOTOS, images=count), GPU, "swav").run.method
    assert (settings.prototypes, settings.queue) == (prototypes, queue)


@pytest.mark.parametrize(("side", "sizes"), [(32, [32] * 2), (64, [64] * 2), (96, [96] * 2 + [40] * 6), (500, [224] * 2 + [96] * 6)])
def test_swav_takes_small_crops_of_large_views(side: int, sizes: list[int]) -> None:
    run = images(replace(PHOTOS, short_side=(side, side, side)), GPU, "swav").run
    assert [view.size for view in run.views] == sizes


def test_byols_views_differ() -> None:
    first, second = images(PHOTOS, GPU, "byol").run.views
    assert (first.blur, second.blur, first.solarise, second.solarise) == (1.0, 0.1, 0.0, 0.2)
    assert replace(second, blur=1.0, solarise=0.0) == first


@pytest.mark.parametrize(
    ("method", "count", "kind", "field", "value"),
    [
        ("simclr", 3000, "sgd", "temperature", 0.5),
        ("simclr", 1_000_000, "lars", "temperature", 0.1),
        ("byol", 3000, "sgd", "momentum", 0.99),
        ("byol", 1_000_000, "lars", "momentum", 0.9995),
        ("swav", 3000, "lars", "temperature", 0.1),
        ("supcon", 3000, "sgd", "base_temperature", 0.07),
        ("em", 3000, "sgd", "steps", 10),
        ("em", 40, "sgd", "steps", 5),
    ],
)
def test_small_sets_take_the_settings_of_small_batches(method: str, count: int, kind: str, field: str, value: float) -> None:
    chosen = images(replace(PHOTOS, images=count), GPU, method)
    assert chosen.run.optim.kind == kind
    assert getattr(chosen.run.method, field) == value


def test_photographs_on_a_gpu_get_the_papers_setting() -> None:
    run = images(PHOTOS, Machine(gpu=True, cores=16)).run
    assert (run.views[0].size, run.net.stem, run.views[0].blur, run.data.channels) == (224, "imagenet", 0.5, 3)
    assert run.data.short_side == 512  # 224 / sqrt(0.2) = 501: the smallest crop still fills a view


def test_small_grey_images_get_a_small_stem_and_no_colour() -> None:
    run = images(GREY, Machine(gpu=False, cores=2)).run
    assert (run.views[0].size, run.net.stem, run.views[0].blur, run.data.channels, run.data.short_side) == (28, "small", 0.0, 1, None)
    assert run.views[0].jitter[2:] == (0.0, 0.0)
    assert run.views[0].grey == 0.0
