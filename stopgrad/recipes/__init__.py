"""Recipes: functions that return a complete run, each stating where every value comes from."""

from collections.abc import Callable

from stopgrad.config import Run
from stopgrad.recipes import demo, simsiam

RECIPES: dict[str, Callable[[], Run]] = {
    "demo": demo.demo,
    "simsiam/cifar10": simsiam.cifar10,
    "simsiam/imagenet": simsiam.imagenet,
}
"""Recipes that are complete by themselves. ``images`` (recipes/images.py) chooses from what the preflight finds."""
