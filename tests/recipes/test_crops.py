"""Multi-crop by its usual notation: what SwAV's recipe has, and the same when it is asked for again."""

from dataclasses import replace

import pytest

from stopgrad.config import set_value
from stopgrad.config.crops import cropped
from stopgrad.errors import UserError
from stopgrad.plan import complete, overridden
from stopgrad.recipes.swav import imagenet, imagenet_2crop


def test_two_crops_become_the_papers_eight_and_eight_become_two() -> None:
    eight = imagenet()
    assert overridden(imagenet_2crop(), {"views.crops": "2x224+6x96"}).views == eight.views
    two = overridden(eight, {"views.crops": "2x160"})
    assert two.views == tuple(replace(view, size=160) for view in eight.views[:2])


def test_views_that_differ_are_taken_in_turn() -> None:
    first, second = complete("byol/imagenet", 1_281_167, None, None).run.views
    assert first.blur != second.blur
    made = cropped((first, second), "2x224+3x96")
    assert [view.blur for view in made] == [first.blur, second.blur, first.blur, second.blur, first.blur]
    assert [view.scale for view in made] == [(0.14, 1.0)] * 2 + [(0.05, 0.14)] * 3
    assert [view.size for view in cropped((first, second), "3x64")] == [64] * 3


def test_asked_for_again_it_changes_nothing_that_was_set_since() -> None:
    asked = {"views.crops": "2x28+4x16", "views.0.blur": "0.1", "views.5.scale": "0.2,0.4"}
    run = overridden(imagenet_2crop(), asked)
    assert len(run.views) == 6
    assert overridden(run, asked) == run


@pytest.mark.parametrize("text", ["", "2x", "224", "2x224+", "0x224", "2x-3", "2*224", "2x224,6x96"])
def test_another_notation_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"views\.crops: numbers and sizes of views, as in 2x224\+6x96"):
        set_value(imagenet(), "views.crops", text)


def test_a_method_of_two_views_says_so() -> None:
    with pytest.raises(UserError, match="views"):
        overridden(complete("demo", 10_000, None, None).run, {"views.crops": "2x28+4x16"})
