"""Telling the operation: which form each view has is read off what was drawn, and a network finds it where features say it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from stopgrad.config.protocols import OPERATION
from stopgrad.errors import UserError
from stopgrad.images.pool import Pool
from stopgrad.protocols.features import Labelled, Pixels, Preparation
from stopgrad.protocols.judge import Subject, judge
from stopgrad.protocols.operation import FORMS, most_common, seen, told_apart, view_of
from stopgrad.views.render import render
from stopgrad.views.sample import sample, uniforms

CPU = torch.device("cpu")
PREP = Preparation(16, 1.0, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


def images(count: int, seed: int, channels: int = 3) -> Labelled:
    """Images that are bright above and dark below, as photographs are, so that a turn can be seen."""
    rng = np.random.default_rng(seed)
    slope = np.linspace(220, 30, 20)[None, :, None]
    arrays = [np.clip(slope + rng.normal(0, 20, (channels, 20, 20)), 0, 255).astype(np.uint8) for _ in range(count)]
    return Labelled.resident(Pool.from_arrays(arrays), torch.arange(count) % 2)


def subject(featuriser: nn.Module, train: Labelled, test: Labelled, prep: Preparation = PREP) -> Subject:
    return Subject(featuriser=featuriser, train=train, test=test, classes=2, prep=prep, device=CPU)


@pytest.mark.parametrize("name", OPERATION)
def test_the_form_is_what_was_done(name: str) -> None:
    settings = OPERATION[name]
    some = images(300, 0)
    found = seen(Pixels(3, 16), some, PREP, settings, 0, CPU)
    assert found.features.shape == (300, 3 * 16 * 16)
    # the first 256 are one part: the same view, drawn again
    view = view_of(settings, 16, 3)
    pool, rows = next(iter(some.fetch([torch.arange(256)])))
    params = sample(view, uniforms(settings.seed, 0, 0, 256, view.further), pool.heights[rows], pool.widths[rows])
    torch.testing.assert_close(found.features[:256], render(pool, rows, params, PREP.mean, PREP.std).flatten(1))
    without = seen(Pixels(3, 16), some, PREP, replace(settings, share=1e-9), 0, CPU)
    assert not without.forms.any()
    if settings.of != "grey":  # whose images are among those that are grey anyway
        differ = (found.features != without.features).any(dim=1)
        assert torch.equal(differ, found.forms > 0)
    shares = found.forms.bincount(minlength=FORMS[settings.of]) / 300
    told = {"grey": (0.8, 0.2), "rotate": (0.25,) * 4, "noise": (0.5, 0.5), "sobel": (0.5, 0.5)}[settings.of]
    assert shares.tolist() == pytest.approx(told, abs=0.08)
    assert most_common(found.forms, FORMS[settings.of]) == pytest.approx(float(shares.max()))


def test_other_parts_and_seeds_are_drawn_apart() -> None:
    some, settings = images(64, 0), OPERATION["noise"]
    first = seen(Pixels(3, 16), some, PREP, settings, 0, CPU)
    assert torch.equal(first.features, seen(Pixels(3, 16), some, PREP, settings, 0, CPU).features)
    assert not torch.equal(first.forms, seen(Pixels(3, 16), some, PREP, settings, 1, CPU).forms)
    assert not torch.equal(first.forms, seen(Pixels(3, 16), some, PREP, replace(settings, seed=1), 0, CPU).forms)


class Blind(nn.Module):
    """Says nothing of the image."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.ones(len(x), 4)


@pytest.mark.parametrize(("name", "least"), [("sobel", 0.85), ("rotation", 0.8)])
def test_what_pixels_show_is_found_and_what_features_do_not_say_is_not(name: str, least: float) -> None:
    settings = replace(OPERATION[name], epochs=15)
    train, test = images(600, 0), images(200, 1)
    told = judge(settings, subject(Pixels(3, 16), train, test)).record()
    assert (told["protocol"], told["variant"], told["metric"], told["classes"]) == ("operation", name, "top1", FORMS[settings.of])
    assert told["top1"] > least
    assert told["settings"]["tuned_on"] == "nothing"
    blind = judge(settings, subject(Blind(), train, test)).record()
    assert blind["top1"] <= blind["settings"]["chance"], "a constant is no better than the most common form"


def test_the_same_again() -> None:
    settings = replace(OPERATION["noise"], epochs=2)
    own = seen(Pixels(3, 16), images(100, 0), PREP, settings, 0, CPU)
    before = torch.get_rng_state()
    networks = [told_apart(own, settings, CPU, lambda line: None) for _ in range(2)]
    assert torch.equal(networks[0](own.features), networks[1](own.features))
    assert torch.equal(before, torch.get_rng_state()), "nobody else's draws are used up"


def test_grey_images_have_no_grey_form() -> None:
    prep = Preparation(16, 1.0, (0.5,), (0.25,))
    some = images(60, 0, channels=1)
    with pytest.raises(UserError, match=r"operation \(grey\): images of 1 channel are grey already; take --settings rotation, noise or sobel"):
        judge(OPERATION["grey"], subject(Pixels(1, 16), some, some, prep))
    assert judge(replace(OPERATION["sobel"], epochs=1), subject(Pixels(1, 16), some, some, prep)).score.n == 60
    assert view_of(OPERATION["noise"], 16, 1).jitter == (0.8, 0.8, 0.0, 0.0)


@pytest.mark.parametrize(("field", "value"), [("share", 1.0), ("hidden", 0), ("epochs", 0), ("lr", 0.0), ("scale", (0.5, 0.1))])
def test_senseless_settings_are_refused(field: str, value: object) -> None:
    with pytest.raises(UserError, match="operation"):
        replace(OPERATION["noise"], **{field: value})
