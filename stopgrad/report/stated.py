"""What decides the figures of a judging, in a few words: for terminals and for the notes under a table."""

from collections.abc import Iterable, Sequence

from stopgrad.report.evaluations import Evaluation
from stopgrad.report.wording import plain

LENGTH = ("lr", "epochs", "steps")
DECIDES = {
    "knn": ("", ("k", "temperature"), ""),
    "lbfgs": ("a linear classifier on frozen features", (), "labels"),
    "linear": ("", ("name", "lr"), "labels"),
    "svm": ("a linear SVM a class on frozen features", (), "labels"),
    "semi": ("", ("name", *LENGTH), "labels"),
    "finetune": ("", ("name", *LENGTH), "labels"),
    "distill": ("", ("name", "teacher", "temperature", *LENGTH), "images"),
    "detection": ("", ("name", *LENGTH), "images"),
}
"""Protocol to what it is (where its name does not say so), the settings that decide, and what its training images are counted as."""
OTHERS = ("", ("name", *LENGTH), "labels")
SAID = {
    "k": "{} neighbours",
    "temperature": "T {}",
    "name": "{}'s",
    "teacher": "teacher {}",
    "lr": "lr {}",
    "epochs": "{} epochs",
    "steps": "{} steps",
}


def stated(figures: Sequence[Evaluation]) -> str:
    """Return what decides the ``figures`` of one judging, value by value where they differ, and what was tuned on what."""
    what, settings, counted = DECIDES.get(figures[0].column.protocol, OTHERS)
    parts = [what]
    for key in settings:
        held = [plain(e.stated[key]) for e in figures if e.stated.get(key) is not None]
        parts += [SAID[key].format(each(held))] if held else []
    images = [f"{e.train_images:,}" for e in figures if e.train_images is not None]
    parts += [f"{each(images)} {counted}"] if counted and images else []
    return ", ".join(part for part in (*parts, each(filter(None, map(tuning, figures)))) if part)


def tuning(figure: Evaluation) -> str:
    """Return what was tuned on what; empty where nothing was."""
    if words := figure.stated.get("tuned_on"):
        return f"tuned: {plain(words)}"
    if figure.sweep is None:
        return ""
    held_out = f"{figure.sweep.images:,} of these" if figure.sweep.images else "some of these"
    return f"l2 tuned on {held_out}, held out"


def each(values: Iterable[object]) -> str:
    """Return every value once: "a or b"."""
    return " or ".join(dict.fromkeys(map(str, values)))
