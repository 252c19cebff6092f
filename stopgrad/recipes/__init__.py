"""Recipes: functions that return a complete run, each stating where every value comes from.

``recipes/NAME.py`` holds those of the method NAME: every public function of no argument is one, listed as NAME/FUNCTION with dashes for
underscores; ``fitted`` answers for one's own images (recipes/images.py).
"""

from collections.abc import Callable, Iterator
from importlib import import_module
from inspect import isfunction, signature

from stopgrad.config import METHODS, Run
from stopgrad.recipes import demo
from stopgrad.recipes.images import name_of


def _published(method: str) -> Iterator[tuple[str, Callable[[], Run]]]:
    module = import_module(f"{__name__}.{method}")
    for name, made in vars(module).items():
        if isfunction(made) and made.__module__ == module.__name__ and not name.startswith("_") and not signature(made).parameters:
            yield f"{method}/{name.replace('_', '-')}", made


RECIPES: dict[str, Callable[[], Run]] = {"demo": demo.demo} | {name: make for method in METHODS for name, make in _published(method)}
"""Recipes that are complete by themselves."""

IMAGES: dict[str, str] = {name_of(method): method for method in METHODS}
"""Recipes for one's own images, which ``recipes.images.images`` makes of what the preflight finds, and their methods."""


def summary(name: str) -> str:
    """Return a recipe in one line: the first of its docstring."""
    made = RECIPES[name] if name in RECIPES else import_module(f"{__name__}.{IMAGES[name]}").fitted
    return (made.__doc__ or "").strip().splitlines()[0]


def method_of(name: str) -> str:
    """Return the method of a recipe."""
    return IMAGES[name] if name in IMAGES else RECIPES[name]().method.name
