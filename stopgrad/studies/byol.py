"""The experiments of the BYOL paper. Grill et al., arXiv:2006.07733v3; its accuracies: linear, ResNet-50, ImageNet, 300 epochs, batch 4096."""

from stopgrad.studies.scales import judged_as, of_method, with_values
from stopgrad.studies.study import COLLAPSES, NO_COLLAPSE, Finding, Row, Study, above, always, below, near
from stopgrad.studies.values import Layers, Off, Times, Value

PAPER = "BYOL (arXiv:2006.07733)"
BYOL_300 = of_method("byol", "byol/imagenet-300", {})


def _row(path: str, value: str, published: float, *findings: Finding) -> Row:
    return Row({path: value}, published=published, findings=(NO_COLLAPSE, *findings))


TARGET = Study(
    name="byol-target",
    question="How slowly should BYOL's target network follow the one that learns?",
    source=f"{PAPER}, Table 5a",
    base=always(BYOL_300, {"method.momentum": "0.99"}),
    rows={
        "0.99": Row(published=72.5, findings=(NO_COLLAPSE,)),
        "1: never": Row({"method.momentum": "1"}, published=18.8, findings=(NO_COLLAPSE, below("0.99"))),
        "0.999": _row("method.momentum", "0.999", 69.8, below("0.99")),
        "0.9": _row("method.momentum", "0.9", 68.4, below("0.99")),
        "at once": Row({"method.momentum": "none"}, published=0.3, findings=(COLLAPSES, below("0.99"))),
    },
    remark="At once: the target is the learning network itself, behind a stop-gradient. App. J gives 5.5 for the same setting.",
)


def _batch(factor: float, published: float, *findings: Finding) -> Row:
    return Row({"train.batch": Times(factor)}, published=published, findings=(NO_COLLAPSE, *findings))


BATCH = Study(
    name="byol-batch",
    question="Does BYOL, which has no negatives, need a large batch?",
    source=f"{PAPER}, its ablation of the batch",
    base=with_values(BYOL_300, {"small": {"train.batch": "512"}, "gpu": {"train.batch": "1024"}}),
    rows={
        "1": Row(published=72.5, findings=(NO_COLLAPSE,)),
        "1/2": _batch(1 / 2, 72.4, near("1")),
        "1/4": _batch(1 / 4, 72.2, near("1")),
        "1/8": _batch(1 / 8, 72.2, near("1")),
        "1/16": _batch(1 / 16, 71.8, near("1")),
        "1/32": _batch(1 / 32, 69.6, below("1")),
        "1/64": Row({"train.batch": Times(1 / 64)}, published=59.7, findings=(NO_COLLAPSE, below("1")), scales=("paper", "gpu")),
    },
    remark="Shares of 4096. The paper averages gradients over several steps to keep the update's batch, which is not done here.",
)

NO_TARGET: dict[str, Value] = {"method.momentum": "none"}
NO_PREDICTOR: dict[str, Value] = {"method.predictor_hidden": "none"}
NEGATIVES: dict[str, Value] = {"method.beta": "1"}
THROUGH: dict[str, Value] = {"method.stop_gradient": "false"}

PARTS = Study(
    name="byol-parts",
    question="Does BYOL need its predictor, its target network, or both, and would negatives help it?",
    source=f"{PAPER}, Table 5b",
    base=BYOL_300,
    rows={
        "both": Row(published=72.5, findings=(NO_COLLAPSE,)),
        "no target network": Row(NO_TARGET, published=0.3, findings=(COLLAPSES, below("both"))),
        "no predictor": Row(NO_PREDICTOR, published=0.2, findings=(COLLAPSES, below("both"))),
        "neither": Row({**NO_TARGET, **NO_PREDICTOR}, published=0.1, findings=(COLLAPSES, below("both"))),
        "both, negatives": Row(NEGATIVES, published=70.9, findings=(NO_COLLAPSE, below("both"))),
        "no target network, negatives": Row(NEGATIVES | NO_TARGET | THROUGH, published=69.1, findings=(NO_COLLAPSE, below("both, negatives"))),
        "no predictor, negatives": Row(NEGATIVES | NO_PREDICTOR, published=70.7, findings=(NO_COLLAPSE, near("both, negatives"))),
        "neither, negatives": Row(
            NEGATIVES | NO_TARGET | NO_PREDICTOR | THROUGH, published=69.4, findings=(NO_COLLAPSE, below("no predictor, negatives"))
        ),
    },
    curves=True,
    remark="Negatives: with weight 1 other images are pushed away, at SimCLR's temperature. Where there is then no target network the gradient flows "
    "through the targets too, as SimCLR's does: with neither part it is SimCLR.",
)

NO_MOMENTUM = Study(
    name="byol-no-momentum",
    question="Can a faster predictor stand in for BYOL's target network?",
    source=f"{PAPER}, v3, App. J",
    base=always(BYOL_300, {"method.momentum": "none"}),
    rows={
        "1x": Row(published=5.5),
        "0x": Row({"method.predictor_lr": "0"}, published=0.01, findings=(below("1x"),)),
        "2x": _row("method.predictor_lr", "2", 62.8, above("1x")),
        "10x": _row("method.predictor_lr", "10", 66.6, above("1x")),
        "20x": _row("method.predictor_lr", "20", 66.3, near("10x")),
    },
    remark="Multiples of the predictor's rate; at 0 it stays as it began.",
)

VIEWS = Study(
    name="byol-views",
    question="Which operations of the views does BYOL need?",
    source=f"{PAPER}, its ablation of the views",
    base=BYOL_300,
    rows={
        "default": Row(published=72.5, findings=(NO_COLLAPSE,)),
        "no flip": Row({"views.flip": "0"}, published=71.9, findings=(NO_COLLAPSE, near("default")), scales=("paper", "gpu")),
        "no blur": Row({"views.blur": "0"}, published=71.2, findings=(NO_COLLAPSE, near("default")), scales=("paper",)),
        "no jitter": _row("views.jitter_p", "0", 71.8, near("default")),
        "no grey": Row({"views.grey": "0"}, published=70.3, findings=(NO_COLLAPSE, below("default")), scales=("paper", "gpu")),
        "no colour": Row(
            {"views.jitter_p": "0", "views.grey": "0"}, published=63.4, findings=(NO_COLLAPSE, below("default")), scales=("paper", "gpu")
        ),
        "crop and colour": Row(
            {f"views.{name}": Off() for name in ("flip", "blur", "solarise")},
            published=70.7,
            findings=(NO_COLLAPSE, below("default")),
            scales=("paper",),
        ),
        "blur and solarisation alike": Row(
            {"views.blur": "0.55", "views.solarise": "0.1"},
            published=72.5,
            findings=(NO_COLLAPSE, near("default")),
            scales=("paper",),
        ),
        "crop only": Row(
            {f"views.{name}": Off() for name in ("flip", "jitter_p", "grey", "blur", "solarise")},
            published=59.4,
            findings=(NO_COLLAPSE, below("default")),
        ),
    },
    remark="The smaller scales leave out what their views have none of. Alike: with the mean probabilities of the two views, as the paper's are "
    "not known to us.",
)


def _deep(projector: int, predictor: int, published: float, finding: Finding) -> Row:
    """Return the row of a projector and a predictor of so many layers; those of the default, two each, are left as they are."""
    layers: dict[str, Value] = {} if predictor == 2 else {"method.predictor_layers": str(predictor)}
    widths: dict[str, Value] = {} if projector == 2 else {"method.projector": Layers(hidden=projector - 1)}
    return Row(widths | layers, published=published, findings=(NO_COLLAPSE, finding))


HEADS = Study(
    name="byol-heads",
    question="How deep should BYOL's projector and predictor be, and how wide the projector?",
    source=f"{PAPER}, its ablation of the heads",
    base=BYOL_300,
    rows={
        "two layers to 256": Row(published=72.5, findings=(NO_COLLAPSE,)),
        "one layer": _deep(1, 2, 65.0, below("two layers to 256")),
        "three layers": _deep(3, 2, 72.1, near("two layers to 256")),
        "one layer, predictor of one": _deep(1, 1, 61.9, below("one layer")),
        "one layer, predictor of three": _deep(1, 3, 65.7, near("one layer")),
        "predictor of one": _deep(2, 1, 71.5, near("two layers to 256")),
        "predictor of three": _deep(2, 3, 71.4, near("two layers to 256")),
        "three layers, predictor of one": _deep(3, 1, 71.4, near("three layers")),
        "three layers, predictor of three": _deep(3, 3, 72.1, near("three layers")),
        **{
            f"to {d}": Row({"method.projector": Layers(last=d)}, published=published, findings=(NO_COLLAPSE, finding("two layers to 256")))
            for d, published, finding in ((16, 69.9, below), (32, 71.3, near), (64, 72.2, near), (128, 72.5, near), (512, 72.6, near))
        },
    },
    remark="The predictor has two layers unless the row says otherwise.",
)

RATE = Study(
    name="byol-rate",
    question="How much does BYOL depend on its learning rate and weight decay?",
    source=f"{PAPER}, its ablation of rate and weight decay",
    base=BYOL_300,
    rows={
        "default": Row(published=72.5, findings=(NO_COLLAPSE,)),
        **{
            f"rate {name}": Row({"optim.lr": Times(factor)}, published=published, findings=(NO_COLLAPSE, finding))
            for name, factor, published, finding in (
                ("1/30", 1 / 30, 34.8, below("default")),
                ("1/3", 1 / 3, 65.0, below("default")),
                ("2/3", 2 / 3, 71.7, near("default")),
                ("4/3", 4 / 3, 72.3, near("default")),
                ("5/3", 5 / 3, 71.5, near("default")),
                ("10/3", 10 / 3, 69.4, below("default")),
            )
        },
        **{
            f"decay {name}": Row({"optim.weight_decay": Times(factor)}, published=published, findings=(NO_COLLAPSE, finding))
            for name, factor, published, finding in (
                ("1/10", 0.1, 72.1, near("default")),
                ("1/2", 0.5, 72.6, near("default")),
                ("5x", 5.0, 71.0, near("default")),
                ("10x", 10.0, 69.6, below("default")),
            )
        },
    },
    remark="Multiples of the rate 0.3 and the weight decay 1e-6.",
)

STUDIES = judged_as("byol", TARGET, BATCH, PARTS, NO_MOMENTUM, VIEWS, HEADS, RATE)
