"""The experiments of the SwAV paper. Caron et al., arXiv:2006.09882, and the README of its code; linear, ResNet-50, ImageNet."""

from dataclasses import dataclass

from stopgrad.config import Run
from stopgrad.studies.scales import judged_as, of_method, with_values
from stopgrad.studies.study import NO_COLLAPSE, Base, Row, Study, above, always, below, near
from stopgrad.studies.values import Crops, OfTraining, Relative, Times

PAPER = "SwAV (arXiv:2006.09882)"
SWAV = of_method("swav", "swav/imagenet", {"train.epochs": "400"})


@dataclass(frozen=True)
class Batches(Relative):
    """As many embeddings as so many batches have images."""

    count: int

    def text(self, path: str, run: Run) -> str:
        return str(self.count * run.train.batch)


SMALL_BATCH = always(
    with_values(of_method("swav", "swav/imagenet-256", {}), {"gpu": {"train.batch": "256", "method.prototypes": "3000"}}),
    {"method.queue": Batches(15)},
    {"gpu": {"method.queue_from_epoch": OfTraining(0.07)}, "small": {"method.queue_from_epoch": OfTraining(0.1)}},
)
"""With a queue of 15 batches everywhere."""

PROTOTYPES = Study(
    name="swav-prototypes",
    question="How many prototypes does SwAV need, and must they learn?",
    source=f"{PAPER}, its ablation of the prototypes",
    base=SWAV,
    rows={
        "default": Row(published=74.6, findings=(NO_COLLAPSE,)),
        "1/3": Row({"method.prototypes": Times(1 / 3)}, findings=(NO_COLLAPSE,)),
        "3x": Row({"method.prototypes": Times(3)}, findings=(NO_COLLAPSE, near("default"))),
        "10x": Row({"method.prototypes": Times(10)}, findings=(NO_COLLAPSE, near("default")), scales=("paper",)),
        "fixed at random": Row({"method.freeze_epochs": "none"}, findings=(NO_COLLAPSE, below("default"))),
    },
    remark="Multiples of the default: 3000 on ImageNet, where the paper finds differences of at most 0.3 from 3,000 to 100,000. Fixed at random it "
    "has 73.1 against 73.9, with crops of 2x160 + 4x96.",
)

SINKHORN = Study(
    name="swav-sinkhorn",
    question="How exactly must SwAV's codes be balanced over the prototypes?",
    source=f"{PAPER}, its ablation of the codes",
    base=SWAV,
    rows={
        "3": Row(published=74.6, findings=(NO_COLLAPSE,)),
        "1": Row({"method.sinkhorn": "1"}, findings=(below("3"),)),
        "10": Row({"method.sinkhorn": "10"}, findings=(NO_COLLAPSE,)),
    },
    remark="With fewer than three iterations the paper's training does not converge.",
)

QUEUE = Study(
    name="swav-queue",
    question="Does a queue of earlier embeddings help SwAV at a small batch?",
    source=f"{PAPER}, and the README of its code",
    base=SMALL_BATCH,
    rows={
        "queue": Row(published=74.3, findings=(NO_COLLAPSE,)),
        "none": Row({"method.queue": "0"}, findings=(NO_COLLAPSE, below("queue"))),
    },
    remark="Batch 256 and 400 epochs on ImageNet; without a queue the paper gives no number.",
)

TWO = always({**SWAV, "paper": Base("swav/imagenet-2crop")}, {"views.crops": Crops()})
CROPS = Study(
    name="swav-crops",
    question="Do further, smaller crops of every image help SwAV?",
    source=f"{PAPER}, Sec. 3.3, and the README of its code",
    base=TWO,
    rows={
        "2 crops": Row(published=70.1, findings=(NO_COLLAPSE,)),
        "multi-crop": Row(
            at={"gpu": {"views.crops": Crops(further=6)}, "small": {"views.crops": Crops(further=6)}},
            base={**TWO, "paper": SWAV["paper"]},
            published=74.6,
            findings=(NO_COLLAPSE, above("2 crops")),
        ),
    },
    remark="400 epochs; 2x224 pixels, and 2x224 + 6x96; at the smaller scales the further crops have half the side. They cost time, too: the "
    "comparison is of epochs.",
)

STUDIES = judged_as("swav", PROTOTYPES, SINKHORN, QUEUE, CROPS)
