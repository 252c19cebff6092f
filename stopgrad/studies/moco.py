"""The experiments of the MoCo papers. He et al., arXiv:1911.05722 (v1), Chen et al., arXiv:2003.04297 (v2).

Their accuracies: linear, ResNet-50, ImageNet, 200 epochs.
"""

from collections.abc import Mapping

from stopgrad.studies.scales import judged_as, of_method, with_values
from stopgrad.studies.study import COLLAPSES, NO_COLLAPSE, Row, Scale, Study, above, always, below, near
from stopgrad.studies.values import Times, Value

V1, V2 = "MoCo (arXiv:1911.05722)", "MoCo v2 (arXiv:2003.04297)"
MOCO = of_method("moco", "moco/imagenet-v1", {})

QUEUE = Study(
    name="moco-queue",
    question="How many negatives should MoCo keep?",
    source=f"{V1}, Fig. 3",
    base=MOCO,
    rows={
        "default": Row(published=60.6, findings=(NO_COLLAPSE,)),
        "1/4": Row({"method.queue": Times(1 / 4)}, findings=(NO_COLLAPSE, near("default"))),
        "1/16": Row({"method.queue": Times(1 / 16)}, published=59.0, findings=(NO_COLLAPSE, near("default"))),
        "1/64": Row({"method.queue": Times(1 / 64)}, findings=(NO_COLLAPSE, below("default"))),
    },
    remark="Shares of the default queue: 65,536 in the paper, whose curve rises slowly to it; its numbers but two could not be checked.",
)


def _momentum(value: str, published: float | None, *, fails: bool = False) -> Row:
    return Row({"method.momentum": value}, published=published, findings=(below("0.999"),) if fails else (NO_COLLAPSE, below("0.999")))


MOMENTUM = Study(
    name="moco-momentum",
    question="How slowly should the encoder of MoCo's keys follow?",
    source=f"{V1}, Sec. 4.1",
    base=always(with_values(MOCO, {"paper": {"method.queue": "4096"}}), {"method.momentum": "0.999"}),
    rows={
        "0.999": Row(published=59.0, findings=(NO_COLLAPSE,)),
        "0": _momentum("0", None, fails=True),
        "0.9": _momentum("0.9", 55.2),
        "0.99": _momentum("0.99", 57.8),
        "0.9999": Row({"method.momentum": "0.9999"}, published=58.9, findings=(NO_COLLAPSE, near("0.999"))),
    },
    remark="Without momentum the paper's training fails. Short trainings take so few steps that keys of 0.999 hardly follow.",
)


HEAD_OF_512: Mapping[Scale, Mapping[str, Value]] = {scale: {"method.projector": "512,128"} for scale in ("gpu", "small")}
"""Two layers, at the smaller scales."""


def _temperature(value: str, published: float) -> Row:
    return Row({"method.temperature": value}, published=published, findings=(NO_COLLAPSE, below("0.2")))


TEMPERATURE = Study(
    name="moco-temperature",
    question="Which temperature does MoCo take, and does a head of two layers change that?",
    source=f"{V2}, Sec. 3",
    base=always(MOCO, {"method.temperature": "0.2"}, {"paper": {"method.projector": "2048,128"}, **HEAD_OF_512}),
    rows={
        "0.2": Row(published=66.2, findings=(NO_COLLAPSE,)),
        **{
            value: _temperature(value, published) for value, published in (("0.07", 62.9), ("0.1", 64.9), ("0.3", 65.7), ("0.4", 65.0), ("0.5", 64.3))
        },
        **{
            f"{value}, one layer": Row(
                {"method.projector": "128"} | ({} if value == "0.2" else {"method.temperature": value}),
                published=published,
                findings=(NO_COLLAPSE, below(value)),
            )
            for value, published in (("0.07", 60.6), ("0.1", 60.7), ("0.2", 59.0), ("0.3", 58.2), ("0.4", 57.2), ("0.5", 56.4))
        },
    },
    remark="One layer: v1's head.",
)

HEAD = {"method.projector": "2048,128", "method.temperature": "0.2"}
VIEWS = {"views.jitter": "0.4,0.4,0.4,0.1", "views.jitter_p": "0.8", "views.blur": "0.5"}
COSINE = {"optim.schedule": "cosine"}
VERSION_2 = Study(
    name="moco-v2",
    question="Which of SimCLR's designs make MoCo v2 better than MoCo?",
    source=f"{V2}, Table 1",
    base=always(MOCO, {"method.projector": "128"}),
    rows={
        "v1": Row(published=60.6, findings=(NO_COLLAPSE,)),
        "head": Row(
            HEAD,
            HEAD_OF_512,
            published=66.2,
            findings=(NO_COLLAPSE, above("v1")),
        ),
        "views": Row(VIEWS, published=63.4, findings=(NO_COLLAPSE, above("v1")), scales=("paper",)),
        "head, views": Row(HEAD | VIEWS, published=67.3, findings=(NO_COLLAPSE, above("head")), scales=("paper",)),
        "head, views, cosine": Row(HEAD | VIEWS | COSINE, published=67.5, findings=(NO_COLLAPSE, near("head, views")), scales=("paper",)),
    },
    remark="The smaller scales begin with v2's views and schedule: only the head is left to add.",
)

SHUFFLE = Study(
    name="moco-shuffle",
    question="What happens to MoCo when BN may see which keys belong to which queries?",
    source=f"{V1}, App. A.9",
    base=MOCO,
    rows={
        "shuffled": Row(findings=(NO_COLLAPSE,)),
        "not shuffled": Row({"method.shuffle": "false"}, findings=(COLLAPSES, below("shuffled"))),
    },
    curves=True,
    remark="The paper's pretext accuracy then exceeds 99.9 % while kNN falls, which takes epochs to show.",
)

STUDIES = judged_as("moco", QUEUE, MOMENTUM, TEMPERATURE, VERSION_2, SHUFFLE)
