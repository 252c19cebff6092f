"""The experiments of the BYOL paper. Grill et al., arXiv:2006.07733v3; its accuracies: linear, ResNet-50, ImageNet, 300 epochs, batch 4096."""

from stopgrad.studies.scales import of_method, with_values
from stopgrad.studies.study import COLLAPSES, LEARNS, Finding, Row, Study, Times, above, below, near

PAPER = "BYOL (arXiv:2006.07733)"
BYOL = of_method("byol", "byol/imagenet-300", {})


def _row(path: str, value: str, published: float, *findings: Finding) -> Row:
    return Row({path: value}, published=published, findings=(LEARNS, *findings))


TARGET = Study(
    name="byol-target",
    question="How slowly should BYOL's target network follow the one that learns?",
    source=f"{PAPER}, Table 5a",
    base=BYOL,
    rows={
        "0.99": Row(published=72.5, findings=(LEARNS,)),
        "1: never": Row({"method.momentum": "1"}, published=18.8, findings=(LEARNS, below("0.99"))),
        "0.999": _row("method.momentum", "0.999", 69.8, below("0.99")),
        "0.9": _row("method.momentum", "0.9", 68.4, below("0.99")),
        "at once": Row({"method.momentum": "none"}, published=0.3, findings=(COLLAPSES, below("0.99"))),
    },
    remark="At once: the target is the learning network itself, behind a stop-gradient. App. J gives 5.5 for the same setting.",
)


def _batch(factor: float, published: float, *findings: Finding) -> Row:
    return Row({"train.batch": Times(factor)}, published=published, findings=(LEARNS, *findings))


BATCH = Study(
    name="byol-batch",
    question="Does BYOL, which has no negatives, need a large batch?",
    source=f"{PAPER}, its ablation of the batch",
    base=with_values(BYOL, {"small": {"train.batch": "512"}, "gpu": {"train.batch": "1024"}}),
    rows={
        "1": Row(published=72.5, findings=(LEARNS,)),
        "1/2": _batch(1 / 2, 72.4, near("1")),
        "1/4": _batch(1 / 4, 72.2, near("1")),
        "1/8": _batch(1 / 8, 72.2, near("1")),
        "1/16": _batch(1 / 16, 71.8, near("1")),
        "1/32": _batch(1 / 32, 69.6, below("1")),
        "1/64": Row({"train.batch": Times(1 / 64)}, published=59.7, findings=(LEARNS, below("1")), scales=("paper", "gpu")),
    },
    remark="Shares of 4096. The paper averages gradients over several steps to keep the update's batch, which is not done here.",
)

PARTS = Study(
    name="byol-parts",
    question="Does BYOL need its predictor, its target network, or both?",
    source=f"{PAPER}, Table 5b",
    base=BYOL,
    rows={
        "both": Row(published=72.5, findings=(LEARNS,)),
        "no target network": Row({"method.momentum": "none"}, published=0.3, findings=(COLLAPSES, below("both"))),
        "no predictor": Row({"method.predictor_hidden": "none"}, published=0.2, findings=(COLLAPSES, below("both"))),
        "neither": Row({"method.momentum": "none", "method.predictor_hidden": "none"}, published=0.1, findings=(COLLAPSES, below("both"))),
    },
    curves=True,
    remark="The rows without negatives; those with are SimCLR's loss with BYOL's parts.",
)

NO_MOMENTUM = Study(
    name="byol-no-momentum",
    question="Can a faster predictor stand in for BYOL's target network?",
    source=f"{PAPER}, v3, App. J",
    base=with_values(BYOL, {scale: {"method.momentum": "none"} for scale in BYOL}),
    rows={
        "1x": Row(published=5.5),
        "2x": _row("method.predictor_lr", "2", 62.8, above("1x")),
        "10x": _row("method.predictor_lr", "10", 66.6, above("1x")),
        "20x": _row("method.predictor_lr", "20", 66.3, near("10x")),
    },
    remark="Multiples of the predictor's rate.",
)

VIEWS = Study(
    name="byol-views",
    question="Which operations of the views does BYOL need?",
    source=f"{PAPER}, its ablation of the views",
    base=BYOL,
    rows={
        "default": Row(published=72.5, findings=(LEARNS,)),
        "no flip": Row({"views.flip": "0"}, published=71.9, findings=(LEARNS, near("default")), scales=("paper", "gpu")),
        "no blur": Row({"views.blur": "0"}, published=71.2, findings=(LEARNS, near("default")), scales=("paper",)),
        "no jitter": _row("views.jitter_p", "0", 71.8, near("default")),
        "no grey": Row({"views.grey": "0"}, published=70.3, findings=(LEARNS, below("default")), scales=("paper", "gpu")),
        "no colour": Row({"views.jitter_p": "0", "views.grey": "0"}, published=63.4, findings=(LEARNS, below("default")), scales=("paper", "gpu")),
        "crop only": Row(
            {"views.flip": "0", "views.jitter_p": "0", "views.grey": "0", "views.blur": "0", "views.solarise": "0"},
            {
                "gpu": {"views.flip": "0", "views.jitter_p": "0", "views.grey": "0", "views.solarise": "0"},
                "small": {"views.jitter_p": "0", "views.solarise": "0"},
            },
            published=59.4,
            findings=(LEARNS, below("default")),
        ),
    },
    remark="The smaller scales leave out what their views have none of.",
)

HEADS = Study(
    name="byol-heads",
    question="How deep and how wide should BYOL's projector be?",
    source=f"{PAPER}, its ablation of the heads",
    base=BYOL,
    rows={
        "two layers to 256": Row(published=72.5, findings=(LEARNS,)),
        "one layer": Row({"method.projector": "256"}, published=65.0, findings=(LEARNS, below("two layers to 256"))),
        "three layers": Row(
            {"method.projector": "4096,4096,256"},
            {scale: {"method.projector": "1024,1024,256"} for scale in ("gpu", "small")},
            published=72.1,
            findings=(LEARNS, near("two layers to 256")),
        ),
        **{
            f"to {d}": Row(
                {"method.projector": f"4096,{d}"},
                {scale: {"method.projector": f"1024,{d}"} for scale in ("gpu", "small")},
                published=published,
                findings=(LEARNS, near("two layers to 256")),
            )
            for d, published in ((32, 71.3), (64, 72.2), (128, 72.5), (512, 72.6))
        },
    },
)

RATE = Study(
    name="byol-rate",
    question="How much does BYOL depend on its learning rate and weight decay?",
    source=f"{PAPER}, its ablation of rate and weight decay",
    base=BYOL,
    rows={
        "default": Row(published=72.5, findings=(LEARNS,)),
        **{
            f"rate {name}": Row({"optim.lr": Times(factor)}, published=published, findings=(LEARNS, finding))
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
            f"decay {name}": Row({"optim.weight_decay": Times(factor)}, published=published, findings=(LEARNS, finding))
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

STUDIES = (TARGET, BATCH, PARTS, NO_MOMENTUM, VIEWS, HEADS, RATE)
