"""Rows as they would be measured, made up."""

from collections.abc import Sequence

from stopgrad.studies.judging import Told
from stopgrad.studies.measured import Measured


def told(value: float, right: bytes = b"", images: int = 2000) -> Told:
    return Told(value, None, images, right)


def row(*top1: float | None, state: str = "healthy", states: Sequence[str] = (), std: float | None = 0.97) -> list[Measured]:
    """A seed a value; None of one that diverged and has no figure."""
    ended = states or [state] * len(top1)
    return [
        Measured(
            seed=seed,
            state=s,
            told={} if value is None else {"lbfgs": told(value), "knn": told(value - 0.1)},
            random={},
            std=std,
            label_free={},
        )
        for seed, (value, s) in enumerate(zip(top1, ended, strict=True))
    ]
