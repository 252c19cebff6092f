"""The experiments of the SimSiam paper. Chen & He, arXiv:2011.10566; its accuracies: linear, ResNet-50, ImageNet, 100 epochs unless said."""

from collections.abc import Mapping

from stopgrad.studies.byol import BYOL_300
from stopgrad.studies.judging import Judging, frozen
from stopgrad.studies.scales import CONSTANT, DECAYED, GPU_EPOCHS, SIMSIAM, SMALL_EPOCHS, of_method, with_values
from stopgrad.studies.study import COLLAPSES, DIVERGES, NO_COLLAPSE, Base, Bases, Finding, Row, Scale, Study, above, always, below, near
from stopgrad.studies.values import Crops, Layers, OfTraining, Times, Value

PAPER = "SimSiam (arXiv:2011.10566)"

STOP_GRADIENT = Study(
    name="stop-gradient",
    question="Does SimSiam collapse when the gradient also flows through the targets?",
    source=f"{PAPER}, Fig. 2",
    base=DECAYED,
    rows={
        "with": Row(published=67.7, findings=(NO_COLLAPSE,)),
        "without": Row({"method.stop_gradient": "false"}, published=0.1, findings=(COLLAPSES, below("with"))),
    },
    curves=True,
)

PREDICTOR = Study(
    name="predictor",
    question="What does SimSiam need its predictor for, and must it be trained?",
    source=f"{PAPER}, Table 1",
    base=DECAYED,
    rows={
        "baseline": Row(published=67.7, findings=(NO_COLLAPSE,)),
        "none": Row({"method.predictor": "none"}, published=0.1, findings=(COLLAPSES, below("baseline"))),
        "fixed at random": Row({"method.predictor": "fixed"}, published=1.5, findings=(NO_COLLAPSE, below("baseline"))),
        "rate not decayed": Row({"method.predictor_fixed_lr": "true"}, published=68.1, findings=(NO_COLLAPSE, near("baseline"))),
    },
    curves=True,
    remark="Fixed at random, the paper's loss stays high: nothing is learned, yet the outputs do not become one.",
)


WARM_UP: Mapping[str, Value] = {"optim.warmup_epochs": OfTraining(1 / 10)}
"""10 of the paper's 100 epochs."""


def _batch(factor: float, published: float | None, *findings: Finding) -> Row:
    """Return the row of a batch so many times the default; from the paper's 1024 on with a warm-up."""
    return Row({"train.batch": Times(factor), **(WARM_UP if factor >= 2 else {})}, published=published, findings=findings)


LARS: Mapping[str, Value] = {"train.batch": Times(8), **WARM_UP, "optim.kind": "lars", "optim.lr": "0.3"}
BATCH_SIZE = Study(
    name="batch-size",
    question="Does SimSiam, which has no negatives, need a large batch?",
    source=f"{PAPER}, Table 2",
    base=CONSTANT,
    rows={
        "default": Row(published=68.1, findings=(NO_COLLAPSE,)),
        "1/8": _batch(1 / 8, 66.1, NO_COLLAPSE, below("default")),
        "1/4": _batch(1 / 4, 67.3, NO_COLLAPSE, near("default")),
        "1/2": _batch(1 / 2, 68.1, NO_COLLAPSE, near("default")),
        "2x": _batch(2, 68.0, NO_COLLAPSE, near("default")),
        "4x": _batch(4, 67.9, NO_COLLAPSE, near("default")),
        "8x": _batch(8, 64.0, NO_COLLAPSE, below("default")),
        "8x, LARS": Row(
            LARS,
            {"small": {**LARS, "optim.lr": "3"}},  # at 0.3 the 90 steps hardly move anything
            findings=(NO_COLLAPSE, above("8x")),
        ),
    },
    remark="Multiples of the default batch: 512 in the paper, whose rows are 64 to 4096. That LARS helps at the largest is the paper's "
    "expectation (Sec. 4.3), not its result; its rate here is SimCLR's.",
)

NO_BN: dict[str, Value] = {"method.projector_bn": "false,false", "method.predictor_bn": "false,false"}
BATCH_NORM = Study(
    name="batch-norm",
    question="Where do SimSiam's heads need batch normalisation, and is it what prevents collapse?",
    source=f"{PAPER}, Table 3",
    base=CONSTANT,
    rows={
        "default": Row(published=68.2, findings=(NO_COLLAPSE,)),
        "none": Row({**NO_BN, **WARM_UP}, published=34.6, findings=(NO_COLLAPSE, below("default"))),
        "none, 1/4 of the rate": Row({**NO_BN, **WARM_UP, "optim.lr": Times(1 / 4)}, findings=(NO_COLLAPSE, below("default"))),
        "hidden only": Row({"method.projector_bn": "true,false"}, published=67.4, findings=(NO_COLLAPSE, near("default"))),
        "all": Row({"method.predictor_bn": "true,true"}, findings=(NO_COLLAPSE, below("default"))),
        "output with affine": Row({"method.output_affine": "true"}, published=68.1, findings=(NO_COLLAPSE, near("default"))),
    },
    remark="With BN on all layers the paper gives no number: training is unstable, and the loss oscillates, which is no collapse. Without any the "
    "paper speaks of a difficult optimisation; the row at a quarter of the rate, which is not in the paper, tells that from a collapse.",
)

SIMILARITY = Study(
    name="similarity",
    question="Does SimSiam depend on the cosine similarity, or does a cross-entropy of softmaxes do?",
    source=f"{PAPER}, Sec. 4.5",
    base=CONSTANT,
    rows={
        "cosine": Row(published=68.1, findings=(NO_COLLAPSE,)),
        "cross-entropy": Row({"method.similarity": "cross_entropy"}, published=63.2, findings=(NO_COLLAPSE, below("cosine"))),
    },
)

SYMMETRISATION = Study(
    name="symmetrisation",
    question="Does it matter that each view predicts the other, and not only one of them?",
    source=f"{PAPER}, Sec. 4.6",
    base=CONSTANT,
    rows={
        "symmetric": Row(published=68.1, findings=(NO_COLLAPSE,)),
        "asymmetric": Row({"method.symmetrised": "false"}, published=64.8, findings=(NO_COLLAPSE, below("symmetric"))),
        "asymmetric, 2 pairs": Row(
            {"method.symmetrised": "false", "method.pairs_of_views": "2"},
            published=67.3,
            findings=(NO_COLLAPSE, above("asymmetric"), near("symmetric")),
        ),
    },
)


def _width(share: float, published: float, *findings: Finding) -> Row:
    """Return the row of outputs a ``share`` as wide, and the predictor's hidden layer with them."""
    widths: dict[str, Value] = {"method.projector": Layers(last=Times(share)), "method.predictor_hidden": Times(share)}
    return Row(widths, published=published, findings=findings)


OUTPUT_DIMENSION = Study(
    name="output-dimension",
    question="Does SimSiam profit from outputs wider than other methods use?",
    source=f"{PAPER}, App. B",
    base=CONSTANT,
    rows={
        "d": Row(published=68.1, findings=(NO_COLLAPSE,)),
        "d/2": _width(1 / 2, 67.5, NO_COLLAPSE, near("d")),
        "d/4": _width(1 / 4, 67.2, NO_COLLAPSE, near("d")),
        "d/8": _width(1 / 8, 65.3, NO_COLLAPSE, below("d")),
    },
    remark="Shares of the default d: 2048 in the paper, whose rows are 256 to 2048. The predictor's hidden layer is a quarter of d.",
)

EM: Bases = always(
    of_method("em", "em/imagenet", {}, {"optim.lr": "0.7", "method.projector": "512,512", "method.predictor_hidden": "128"}), {"method.steps": "1"}
)
"""Alternation with SimSiam's own hyper-parameters at every scale; of 1 step it is SimSiam."""

ALTERNATION = Study(
    name="em-hypothesis",
    question="Is SimSiam an alternation of two sub-problems, and can averaging the targets stand in for the predictor?",
    source=f"{PAPER}, Sec. 5.2",
    base=EM,
    rows={
        "1 step (SimSiam)": Row(base=CONSTANT, published=68.1, findings=(NO_COLLAPSE,)),
        "10 steps": Row({"method.steps": "10"}, published=68.7, findings=(NO_COLLAPSE, near("1 step (SimSiam)"))),
        "100 steps": Row({"method.steps": "100"}, published=68.9, findings=(NO_COLLAPSE, near("1 step (SimSiam)"))),
        "1 epoch": Row({"method.steps": "0"}, published=67.0, findings=(NO_COLLAPSE, near("1 step (SimSiam)"))),
        "moving average, no predictor": Row(
            {"method.memory": "0.8", "method.predictor": "none"}, published=55.0, findings=(NO_COLLAPSE, below("1 step (SimSiam)"), above("neither"))
        ),
        "neither": Row({"method.predictor": "none"}, published=0.1, findings=(COLLAPSES,)),
    },
    remark="With neither predictor nor moving average it is the paper's Table 1a.",
)

IMPROVED_SIMCLR = of_method("simclr", "simclr/imagenet", {"train.epochs": "100", "method.projector": "2048,2048,128"})
IMPROVED_MOCO = always(of_method("moco", "moco/imagenet", {"train.epochs": "100"}), {"method.symmetric": "true"})
REPRODUCED_BYOL = of_method("byol", "byol/imagenet-100", {})
IMPROVED_SWAV = always(
    of_method("swav", "swav/imagenet-2crop", {"train.epochs": "100", "method.projector": "2048,2048,128"}), {"views.crops": Crops()}
)
"""As the SimSiam paper reproduced and improved them: three layers of projector, MoCo's loss symmetric."""

TABLE_4 = {
    "simsiam": (with_values(SIMSIAM, {"paper": {"train.batch": "256"}, "small": {"method.predictor_fixed_lr": "true"}}), 70.0, 70.8, 71.3),
    "simclr": (IMPROVED_SIMCLR, 68.3, 69.8, 70.4),
    "moco": (IMPROVED_MOCO, 69.9, 71.0, 72.2),
    "byol": (REPRODUCED_BYOL, 70.6, 73.2, 74.3),
    "swav": (IMPROVED_SWAV, 69.1, 70.7, 71.8),
}
"""Method to its base, and what it reaches at 200, 400 and 800 epochs."""
LONGER_BYOL: Mapping[int, Mapping[str, Value]] = {
    2: {"optim.lr": Times(0.3 / 0.45)},
    4: {"optim.lr": Times(0.3 / 0.45)},
    8: {"optim.lr": Times(0.2 / 0.45), "optim.weight_decay": Times(1.5), "method.momentum": "0.996"},
}
"""BYOL's own settings for longer training on ImageNet, beside its rate of 0.45 and decay of 1e-6 for 100 epochs."""


def _longer(method: str, factor: int, published: float) -> Row:
    epochs: Mapping[str, Value] = {"train.epochs": Times(factor)}
    at: Mapping[Scale, Mapping[str, Value]] = {"gpu": epochs, "small": epochs}
    changes = {**epochs, **LONGER_BYOL[factor]} if method == "byol" else epochs
    scales: tuple[Scale, ...] = ("paper", "gpu", "small") if factor == 2 else ("paper",)
    return Row(changes, at, TABLE_4[method][0], published, (NO_COLLAPSE, above(method)), scales=scales)


COMPARISON = Study(
    name="comparison",
    question="How do the Siamese methods compare at the same length of training, and what does a longer one bring each?",
    source=f"{PAPER}, Table 4",
    base=TABLE_4["simsiam"][0],
    rows={
        "simsiam": Row(published=68.1, findings=(NO_COLLAPSE,)),
        **{
            method: Row(base=TABLE_4[method][0], published=published, findings=(NO_COLLAPSE, below("simsiam")))
            for method, published in (("simclr", 66.5), ("moco", 67.4), ("byol", 66.5), ("swav", 66.5))
        },
        **{
            f"{method}, {factor}x": _longer(method, factor, reached)
            for i, factor in enumerate((2, 4, 8))
            for method, (_, *at) in TABLE_4.items()
            for reached in (at[i],)
        },
    },
    remark="The others as the paper reproduced and improved them. Multiples of the shortest training: 100 epochs in the paper. At the smaller "
    "scales each method keeps the head, optimiser and rate that it was published with for small images.",
)

NORMALISED = always(IMPROVED_SWAV, {"method.normalise_inside": "true"})
"""The paper's crossings with SwAV normalise its prototypes within the graph (Sec. 6.2)."""
AS_BYOL: Mapping[Scale, tuple[Judging, ...]] = {"paper": frozen("linear", "knn", settings="byol")}
"""BYOL's own paper, whose rows are judged as it judges."""
CROSSINGS = Study(
    name="crossings",
    question="What do SimSiam's predictor and stop-gradient do in the other methods, and BYOL without its momentum encoder?",
    source=f"{PAPER}, Sec. 6.2; BYOL v3 (arXiv:2006.07733), App. J",
    base=IMPROVED_SIMCLR,
    rows={
        "simclr": Row(published=66.5, findings=(NO_COLLAPSE,)),
        "simclr, predictor": Row({"method.predictor_hidden": "512"}, published=66.4, findings=(NO_COLLAPSE, near("simclr"))),
        "simclr, predictor, stop-gradient": Row(
            {"method.predictor_hidden": "512", "method.stop_gradient": "true"}, published=66.0, findings=(NO_COLLAPSE, near("simclr"))
        ),
        "swav": Row(base=NORMALISED, published=66.5, findings=(NO_COLLAPSE,)),
        "swav, predictor": Row({"method.predictor_hidden": "512"}, base=NORMALISED, published=65.2, findings=(NO_COLLAPSE, near("swav"))),
        "swav, no stop-gradient": Row({"method.stop_gradient": "false"}, base=NORMALISED, findings=(DIVERGES,)),
        "byol": Row(base=BYOL_300, published=72.5, findings=(NO_COLLAPSE,), judged=AS_BYOL),
        "byol, no momentum encoder": Row(
            {"method.momentum": "none", "method.predictor_lr": "10"},
            base=BYOL_300,
            published=66.6,
            findings=(NO_COLLAPSE, below("byol")),
            judged=AS_BYOL,
        ),
    },
    remark="Without the stop-gradient the paper's SwAV diverges to NaN. Without a momentum encoder BYOL's predictor learns at ten times the rate; "
    "BYOL's numbers are of 300 epochs.",
)

CIFAR: Bases = {"paper": Base("simsiam/cifar10"), "gpu": SIMSIAM["gpu"], "small": SIMSIAM["small"]}
CIFAR_RATE = {"optim.lr": "0.03"}
SIMCLR_ON_CIFAR: Bases = {
    "paper": Base("simsiam/cifar10", "simclr", CIFAR_RATE),
    "gpu": Base("simsiam/cifar10", "simclr", {**GPU_EPOCHS, **CIFAR_RATE}),
    "small": Base("demo", "simclr", SMALL_EPOCHS),
}
"""By SimSiam's settings (App. D): its views, optimiser, rate, batch and length."""
CIFAR_CURVE = Study(
    name="cifar10-curve",
    question="Does SimSiam also learn small images, and how does its kNN accuracy rise beside SimCLR's?",
    source=f"{PAPER}, Fig. D.1",
    base=CIFAR,
    rows={
        "simsiam": Row(published=91.8, findings=(NO_COLLAPSE,)),
        "simclr": Row(base=SIMCLR_ON_CIFAR, published=91.1, findings=(NO_COLLAPSE, near("simsiam"))),
    },
    curves=True,
    images="CIFAR-10",
    remark="The paper's numbers are linear evaluation on CIFAR-10 after 800 epochs. It trains SimCLR with SimSiam's settings, as is "
    "done here but at scale small and with a recipe of one's own, where SimCLR has a rate of its own.",
)

STUDIES = (
    STOP_GRADIENT,
    PREDICTOR,
    BATCH_SIZE,
    BATCH_NORM,
    SIMILARITY,
    SYMMETRISATION,
    OUTPUT_DIMENSION,
    ALTERNATION,
    COMPARISON,
    CROSSINGS,
    CIFAR_CURVE,
)
