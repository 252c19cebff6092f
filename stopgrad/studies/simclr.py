"""The experiments of the SimCLR paper. Chen et al., arXiv:2002.05709; its accuracies: linear, ResNet-50, ImageNet, 100 epochs, batch 4096."""

from collections.abc import Mapping
from dataclasses import dataclass

from stopgrad.config import Run
from stopgrad.studies.scales import judged_as, of_method, with_values
from stopgrad.studies.study import NO_COLLAPSE, Finding, Row, Scale, Study, above, always, below, near
from stopgrad.studies.values import ByRoot, Layers, Relative, Times, Value

PAPER = "SimCLR (arXiv:2002.05709)"
EPOCHS = {"train.epochs": "100"}
SIMCLR = of_method("simclr", "simclr/imagenet", EPOCHS)


def _temperature(value: str, published: float) -> Row:
    return Row({"method.temperature": value}, published=published, findings=(NO_COLLAPSE, below("0.1")))


def _unnormalised(value: str, published: float) -> Row:
    return Row({"method.normalise": "false", "method.temperature": value}, published=published, findings=(NO_COLLAPSE, below("0.1")))


TEMPERATURE = Study(
    name="temperature",
    question="How sharply should SimCLR's loss tell the nearest images from the others, and should its outputs be normalised?",
    source=f"{PAPER}, Table 5",
    base=always(SIMCLR, {"method.temperature": "0.1"}),
    rows={
        "0.1": Row(published=64.4, findings=(NO_COLLAPSE,)),
        "0.05": _temperature("0.05", 59.7),
        "0.5": _temperature("0.5", 60.7),
        "1": _temperature("1.0", 58.0),
        "10, not normalised": _unnormalised("10", 57.2),
        "100, not normalised": _unnormalised("100", 57.0),
    },
    remark="On CIFAR-10 the paper finds 0.5 better once training is longer than 300 epochs (App. B.9). Not normalised: lengths count too.",
)


def _loss(published: float, changes: Mapping[str, Value], *findings: Finding) -> Row:
    return Row(changes, published=published, findings=(NO_COLLAPSE, below("NT-Xent"), *findings))


SEMI_HARD: dict[str, Value] = {"method.semi_hard": "true"}
LOSSES = Study(
    name="losses",
    question="Must SimCLR's loss weigh every negative by how hard it is?",
    source=f"{PAPER}, Tables 2 and 4",
    base=SIMCLR,
    rows={
        "NT-Xent": Row(published=63.9, findings=(NO_COLLAPSE,)),
        "NT-logistic": _loss(51.6, {"method.loss": "nt-logistic"}),
        "margin": _loss(50.9, {"method.loss": "margin"}),
        "NT-logistic, semi-hard": _loss(57.9, {"method.loss": "nt-logistic", **SEMI_HARD}, above("NT-logistic")),
        "margin, semi-hard": _loss(57.5, {"method.loss": "margin", **SEMI_HARD}, above("margin")),
    },
    remark="Semi-hard: of an anchor's negatives only those count that are farther than its positive by less than the margin, 0.4. Those that count "
    "have equal parts of its loss but under NT-Xent. All rows share the rate and the temperature; the "
    "paper's numbers are of the best rate, temperature and margin of each, with negatives of one view only (App. B.10).",
)

STRENGTHS = (("1/8", 0.125, 59.6), ("1/4", 0.25, 61.0), ("1/2", 0.5, 62.6))


@dataclass(frozen=True)
class Jitter(Relative):
    """SimCLR's colour jitter at a strength; of images without three colours only brightness and contrast."""

    strength: float

    def text(self, path: str, run: Run) -> str:
        bright, hue = f"{0.8 * self.strength:g}", f"{0.2 * self.strength:g}"
        return f"{bright},{bright},0,0" if run.data.channels != 3 else f"{bright},{bright},{bright},{hue}"


def _strength(strength: float, published: float) -> Row:
    return Row({"views.jitter": Jitter(strength)}, published=published, findings=(NO_COLLAPSE, below("1")))


UNCOLOURED: dict[str, Value] = {"views.jitter_p": "0", "views.grey": "0"}

SUPERVISED = always(
    of_method("supervised", "supervised/imagenet", {}),
    {"views.jitter_p": "0.8", "views.jitter": Jitter(1), "views.blur": "0"},
    {"paper": {"views.grey": "0.2"}, "gpu": {"views.grey": "0.2"}},
)
LABELLED = "with labels, "


def _labelled(changes: Mapping[str, Value], published: float, *findings: Finding) -> Row:
    """Return a row of the table's second line: supervised training by the same views, which strong colours do not help."""
    return Row(changes, base=SUPERVISED, published=published, findings=findings)


COLOUR_STRENGTH = Study(
    name="colour-strength",
    question="How strongly should the colours of the views be changed?",
    source=f"{PAPER}, Table 1 and App. A",
    base=always(SIMCLR, {"views.jitter": Jitter(1), "views.blur": "0"}),
    rows={
        "1": Row(published=63.2, findings=(NO_COLLAPSE,)),
        **{name: _strength(strength, published) for name, strength, published in STRENGTHS},
        "1, blur": Row({"views.blur": "0.5"}, published=64.5, findings=(NO_COLLAPSE, above("1"))),
        "1, blur, no flip": Row(
            {"views.blur": "0.5", "views.flip": "0"}, published=63.4, findings=(NO_COLLAPSE, below("1, blur")), scales=("paper", "gpu")
        ),
        "AutoAugment": Row(
            UNCOLOURED | {"views.policy": "imagenet"},
            {"gpu": UNCOLOURED | {"views.policy": "cifar10"}},
            published=61.1,
            findings=(NO_COLLAPSE, below("1")),
            scales=("paper", "gpu"),
        ),
        f"{LABELLED}1": _labelled({}, 75.7, above("1")),
        **{
            f"{LABELLED}{name}": _labelled({"views.jitter": Jitter(strength)}, published, near(f"{LABELLED}1"))
            for (name, strength, _), published in zip(STRENGTHS, (77.0, 76.7, 76.5), strict=True)
        },
        f"{LABELLED}1, blur": _labelled({"views.blur": "0.5"}, 75.4, near(f"{LABELLED}1")),
        f"{LABELLED}AutoAugment": Row(
            UNCOLOURED | {"views.policy": "imagenet"},
            {"gpu": UNCOLOURED | {"views.policy": "cifar10"}},
            base=SUPERVISED,
            published=77.1,
            findings=(near(f"{LABELLED}1"),),
            scales=("paper", "gpu"),
        ),
    },
    remark="Shares of (0.8, 0.8, 0.8, 0.2) for brightness, contrast, saturation and hue. The bundled images are grey: two of the four are left, "
    "and they are not flipped. AutoAugment's policy, which was found with the labels of the images, takes the place of jitter and grey. With "
    "labels: supervised training by the same views, which strong colours do not help; the paper's numbers are of the network's own classifier, "
    "ours of one that is trained anew on its frozen features, as for all rows.",
)

HEAD = Study(
    name="head",
    question="Should SimCLR have a head, what kind, and is the layer before or after it the better representation?",
    source=f"{PAPER}, Fig. 8",
    base=SIMCLR,
    rows={
        "non-linear": Row(findings=(NO_COLLAPSE,)),
        "non-linear, after it": Row(after_head=True, findings=(below("non-linear"),)),
        "linear": Row({"method.projector": Layers(hidden=0)}, findings=(NO_COLLAPSE, below("non-linear"))),
        "none": Row({"method.projector": "none"}, findings=(NO_COLLAPSE, below("non-linear"), below("linear"))),
        "linear, after it": Row({"method.projector": Layers(hidden=0)}, after_head=True, findings=(below("linear"),)),
        "32 wide": Row({"method.projector": Layers(last=32)}, findings=(near("non-linear"),)),
        "512 wide": Row({"method.projector": Layers(last=512)}, findings=(near("non-linear"),)),
    },
    remark="The text gives about 3 points from linear to non-linear, more than 10 from none to non-linear, and more than 10 from after the head to "
    "before it; the bars have no numbers.",
)

BATCHES = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1, 2)
"""Multiples of the default: 256 to 8192 in the paper."""
LENGTHS = (1, 2, 4, 8)
TABLE_B1 = {
    "linear": (
        (57.5, 61.9, 64.7, 66.6),
        (60.7, 64.0, 66.2, 67.8),
        (62.8, 65.3, 67.2, 68.5),
        (64.0, 66.1, 68.1, 68.9),
        (64.6, 66.5, 68.2, 68.9),
        (64.8, 66.6, 67.8, 69.0),
    ),
    "sqrt": (
        (62.8, 64.3, 65.7, 66.5),
        (63.8, 65.6, 66.7, 67.4),
        (64.3, 66.1, 67.2, 68.3),
        (64.7, 66.8, 67.9, 68.8),
        (64.5, 66.8, 68.0, 69.1),
        (64.8, 67.0, 68.3, 69.1),
    ),
}
"""Rule to accuracies: a line a batch, a column a length."""


def _cell(rule: str, i: int, j: int) -> tuple[str, Row]:
    """Return the name and the row of a batch, a length and a rule of the rate."""
    changes: dict[str, Value] = {}
    changes |= {} if BATCHES[i] == 1 else {"train.batch": Times(BATCHES[i])}
    changes |= {} if LENGTHS[j] == 1 else {"train.epochs": Times(LENGTHS[j])}
    changes |= {} if rule == "linear" else {"optim.lr_rule": "sqrt", "optim.lr": ByRoot()}
    findings: list[Finding] = [NO_COLLAPSE]
    findings += [below(_named("linear", 4, j))] if rule == "linear" and BATCHES[i] < 1 and LENGTHS[j] == 1 else []
    findings += [above(_named("linear", i, j))] if rule == "sqrt" and BATCHES[i] < 1 and LENGTHS[j] == 1 else []
    findings += [above(_named(rule, i, 0))] if j == 1 else []
    scales: tuple[Scale, ...] = ("paper", "gpu", "small") if LENGTHS[j] <= (2 if rule == "linear" else 1) else ("paper",)
    return _named(rule, i, j), Row(changes, published=TABLE_B1[rule][i][j], findings=tuple(findings), scales=scales)


def _named(rule: str, i: int, j: int) -> str:
    batch = {1: "1", 2: "2"}.get(int(BATCHES[i]), f"1/{round(1 / BATCHES[i])}")
    return f"batch {batch}, epochs {LENGTHS[j]}x" + (", sqrt" if rule == "sqrt" else "")


_CELLS = [_cell(rule, i, j) for rule in TABLE_B1 for j in range(len(LENGTHS)) for i in (4, 0, 1, 2, 3, 5)]
BATCH_AND_EPOCHS = Study(
    name="batch-and-epochs",
    question="How large a batch does SimCLR need, and does longer training make up for a small one?",
    source=f"{PAPER}, Fig. 9 and Table B.1",
    base=with_values(SIMCLR, {"small": {"train.batch": "256"}}),
    rows=dict(_CELLS),
    remark="Multiples of batch 4096 and of 100 epochs, with the rate by the linear rule; sqrt: by the square root of the batch, "
    "with the same rate at the default batch.",
)

STUDIES = judged_as("simclr", TEMPERATURE, LOSSES, COLOUR_STRENGTH, HEAD, BATCH_AND_EPOCHS)
