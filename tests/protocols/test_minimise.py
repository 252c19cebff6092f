from collections.abc import Callable

import torch
from torch import Tensor

from stopgrad.protocols.minimise import minimise

Function = Callable[[Tensor], tuple[float, Tensor]]


def quadratic(hessian: Tensor, centre: Tensor) -> tuple[list[Tensor], Function]:
    asked: list[Tensor] = []

    def function(x: Tensor) -> tuple[float, Tensor]:
        asked.append(x)
        gradient = hessian @ (x - centre)
        return float((x - centre) @ gradient / 2), gradient

    return asked, function


def test_a_quadratic_of_few_dimensions_is_solved_in_few_steps() -> None:
    hessian = torch.diag(torch.tensor([1.0, 3.0, 10.0, 30.0, 100.0], dtype=torch.float64))
    centre = torch.tensor([1.0, -2.0, 3.0, -4.0, 5.0], dtype=torch.float64)
    asked, function = quadratic(hessian, centre)
    found = minimise(function, torch.zeros(5, dtype=torch.float64), 100, 1e-9)
    torch.testing.assert_close(found.at, centre, rtol=0, atol=1e-9)
    assert found.value < 1e-15
    assert found.evaluations == len(asked) < 60  # steepest descent needs 100 times log(1e9)


def test_it_ends_at_the_tolerance_and_not_before() -> None:
    _, function = quadratic(torch.eye(3), torch.tensor([1.0, 2.0, 3.0]))
    found = minimise(function, torch.zeros(3), 100, 1e-3)
    assert found.evaluations == 2  # the first step goes to the minimum
    assert minimise(function, torch.zeros(3), 100, 3.5).evaluations == 1


def test_a_step_too_long_is_shortened() -> None:
    """f = x⁴ from 2: the first step, -32, would go uphill."""
    found = minimise(lambda x: (float(x**4), 4 * x**3), torch.tensor(2.0, dtype=torch.float64), 200, 1e-6)
    assert abs(float(found.at)) < 0.01


def test_where_rounding_hides_the_values_the_gradients_lead_on() -> None:
    """Beside 1e6 no difference of values can be seen in float32; the minimum is found all the same."""
    found = minimise(lambda x: (float(1e6 + 1e-3 * (x - 1) ** 2), 2e-3 * (x - 1)), torch.tensor(0.0), 100, 1e-8)
    assert abs(float(found.at) - 1) < 1e-5
    assert found.evaluations < 10


def test_it_ends_when_the_function_was_computed_often_enough() -> None:
    asked, function = quadratic(torch.diag(torch.logspace(0, 4, 20)), torch.ones(20))
    found = minimise(function, torch.zeros(20), 17, 1e-9)
    assert found.evaluations == len(asked) == 17
    assert found.value == min(found.value, *(function(x)[0] for x in list(asked)))
