"""What decides the figures of a judging, in a few words: for terminals and for the notes under a table."""

from collections.abc import Iterable, Sequence

from stopgrad.report.evaluations import Evaluation, Sweep
from stopgrad.report.wording import grouped, plain

LENGTH = ("lr", "epochs", "steps")
DECIDES = {
    "knn": ("", ("k", "temperature"), ""),
    "lbfgs": ("a linear classifier on frozen features", (), "labels"),
    "linear": ("", ("name", "lr"), "labels"),
    "svm": ("a linear SVM a class on frozen features", (), "labels"),
    "operation": ("a network of two layers on frozen features", ("epochs",), "views"),
    "semi": ("", ("name", *LENGTH), "labels"),
    "finetune": ("", ("name", *LENGTH), "labels"),
    "distill": ("", ("name", "teacher", "temperature", *LENGTH), "images"),
    "detection": ("", ("lr", "iterations"), "images"),
}
"""Protocol to what it is (where its name does not say so), the settings that decide, and what its training images are counted as."""
OTHERS = ("", ("name", *LENGTH), "labels")
SAID = {
    "k": "{} neighbours",
    "temperature": "T {}",
    "name": "{}'s",
    "teacher": "teacher {}",
    "lr": "lr {}",
}
COUNTED = ("epochs", "steps", "iterations")
"""Settings that are numbers of what they are called."""


def stated(figures: Sequence[Evaluation]) -> str:
    """Return what decides the ``figures`` of one judging, value by value where they differ, and what was tuned on what."""
    what, settings, counted = DECIDES.get(figures[0].column.protocol, OTHERS)
    parts = [what]
    for key in settings:
        held = [plain(e.stated[key]) for e in figures if e.stated.get(key) is not None]
        parts += [_said(key, each(held))] if held else []
    images = [f"{e.train_images:,}" for e in figures if e.train_images is not None]
    parts += [f"{each(images)} {counted}"] if counted and images else []
    return ", ".join(part for part in (*parts, *_tuned(figures), *_agreed(figures)) if part)


def _said(key: str, value: str) -> str:
    if key in COUNTED:
        return f"{value} {key.removesuffix('s') if value == '1' else key}"
    return SAID[key].format(value) if (key, value) != ("k", "1") else "1 neighbour"


def _tuned(figures: Sequence[Evaluation]) -> list[str]:
    """Return what was tuned on what: as the protocols say, else by their sweeps, where these say anything new; nothing where nothing was."""
    told = [grouped(plain(words)) for e in figures if (words := e.stated.get("tuned_on"))]
    sweeps = [e.sweep for e in figures if e.sweep is not None and not e.stated.get("tuned_on")]
    swept = [f"{s.images:,}" if s.images else "some" for s in sweeps if not any(_says(words, s) for words in told)]
    return [f"tuned: {each(told)}"] * bool(told) + [f"l2 tuned on {each(swept)} of these, held out"] * bool(swept)


def _agreed(figures: Sequence[Evaluation]) -> list[str]:
    """Return on how many test images a student says what its teacher says, where that is told."""
    told = [f"{100 * e.stated['agreement']:.1f} %" for e in figures if isinstance(e.stated.get("agreement"), float)]
    return [f"the student says what its teacher says of {each(told)} of the test images"] * bool(told)


def _says(words: str, sweep: Sweep) -> bool:
    """Whether the ``words`` of another result hold for ``sweep`` too."""
    return words.startswith("l2 ") and (not sweep.images or f" {sweep.images:,} training images held out" in words)


def each(values: Iterable[object]) -> str:
    """Return every value once: "a or b"."""
    return " or ".join(dict.fromkeys(map(str, values)))
