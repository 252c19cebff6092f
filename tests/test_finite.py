"""A step that is not finite is told before anything of it can be saved: at once, or one step late where a GPU must not wait."""

import math

import pytest
import torch

from stopgrad.config import Run
from stopgrad.errors import Diverged
from stopgrad.finite import Finite

ONE, NAN = torch.tensor(1.0), torch.tensor(math.nan)


@pytest.mark.parametrize(("loss", "norm"), [(NAN, ONE), (ONE, NAN), (ONE, torch.tensor(math.inf))])
def test_at_once(toy: Run, loss: torch.Tensor, norm: torch.Tensor) -> None:
    finite = Finite(toy, late=False)
    finite.note(1, ONE, ONE)
    with pytest.raises(Diverged, match="step 2: the loss"):
        finite.note(2, loss, norm)


def test_late_is_before_the_next_update_and_before_a_save(toy: Run) -> None:
    finite = Finite(toy, late=True)
    finite.settle()  # nothing is pending
    finite.note(1, ONE, ONE)
    finite.note(2, ONE, NAN)
    with pytest.raises(Diverged, match="step 2: the loss"):
        finite.note(3, ONE, ONE)
    finite.note(4, NAN, ONE)
    with pytest.raises(Diverged, match="step 4: the loss"):
        finite.settle()
    finite.settle()  # it was told


def test_late_keeps_the_numbers_of_its_own_step(toy: Run) -> None:
    finite, loss = Finite(toy, late=True), torch.tensor(1.0)
    finite.note(1, loss, ONE)
    loss.fill_(math.nan)  # which is written anew by the next step
    finite.settle()
