"""What the backbones are for: few labels, other data sets, detection. The papers' tables on it; ResNet-50, ImageNet."""

from collections.abc import Mapping

from stopgrad.config.detection import DETECTION
from stopgrad.config.transfer import DataSet
from stopgrad.errors import UserError
from stopgrad.studies.judging import RANDOM, Figure, Judging
from stopgrad.studies.scales import CONSTANT, of_method, with_values
from stopgrad.studies.simsiam import LONGER_BYOL, TABLE_4
from stopgrad.studies.study import Bases, Row, Scale, Study, above, always, below, near
from stopgrad.studies.values import Value

SIMCLR_1000 = of_method("simclr", "simclr/imagenet", {})
SUPERVISED = of_method("supervised", "supervised/imagenet", {})
SHARES = ("1 %", "10 %")


def _semi(whose: str) -> tuple[Judging, ...]:
    """Return fine-tuning on 1 % and on 10 % of the labels, by these settings; every seed has labels of its own."""
    return tuple(
        Judging(protocols=("semi",), settings=f"{whose}-{share.split()[0]}", figures=(Figure(share, "semi", share),), seeded=True) for share in SHARES
    )


def _few(whose: str, base: Bases, one: float, ten: float) -> Row:
    findings = [above(RANDOM, share) for share in SHARES] + ([above("simclr", share) for share in SHARES] if whose != "simclr" else [])
    return Row(base=base, published=dict(zip(SHARES, (one, ten), strict=True)), findings=tuple(findings), judged={"paper": _semi(whose)})


SEMI = Study(
    name="semi-supervised",
    question="How far do backbones that were pretrained without labels get with few of them?",
    source="SimCLR (arXiv:2002.05709), Table B.4; BYOL (arXiv:2006.07733) and SwAV (arXiv:2006.09882), theirs of the same",
    base=SIMCLR_1000,
    rows={
        "simclr": _few("simclr", SIMCLR_1000, 48.3, 65.6),
        "byol": _few("byol", of_method("byol", "byol/imagenet", {}), 53.2, 68.8),
        "swav": _few("swav", of_method("swav", "swav/imagenet", {}), 53.9, 70.2),
    },
    judged={"paper": _semi("simclr"), "gpu": _semi("small"), "small": _semi("small")},
    untrained=dict(zip(SHARES, (25.4, 56.4), strict=True)),
    remark="Fine-tuned on 1 % and on 10 % of the labels, drawn anew for every seed, at scale paper by the paper's own settings. Its untrained "
    "network had its regularisation searched for.",
)

TWELVE = ("food", "cifar10", "cifar100", "birdsnap", "sun397", "cars", "aircraft", "voc07", "dtd", "pets", "caltech101", "flowers")


def _linear(scale: Scale, one: DataSet) -> tuple[Judging, ...]:
    figure = Figure(one.name, "lbfgs", "", one.metric or "", one.name)
    return (Judging(protocols=("lbfgs",), settings="simclr" if scale == "paper" else "", onto=one, figures=(figure,)),)


def _tuned(scale: Scale, one: DataSet) -> tuple[Judging, ...]:
    figure = Figure(one.name, "finetune", "", one.metric or "", one.name)
    return (Judging(protocols=("finetune",), settings="simclr" if scale == "paper" else "small", onto=one, figures=(figure,), seeded=True),)


def _on_twelve(*numbers: float) -> Mapping[str, float]:
    return dict(zip(TWELVE, numbers, strict=True))


LIKE_SIMCLR = {"views.jitter": "0.8,0.8,0.8,0.2", "views.jitter_p": "0.8", "views.grey": "0.2", "views.blur": "0.5"}
BY_ITS_VIEWS = with_values(SUPERVISED, {"paper": {"train.epochs": "1000", "optim.schedule": "cosine", **LIKE_SIMCLR}})
"""Supervised training as SimCLR's paper has it beside its own: the same views and as many epochs."""
TRANSFER = Study(
    name="transfer",
    question="Are features that were learned without labels as good for other images as those learned with them?",
    source="SimCLR (arXiv:2002.05709), Table B.5: logistic regression on frozen features",
    base=BY_ITS_VIEWS,
    rows={
        "supervised": Row(published=_on_twelve(72.3, 93.6, 78.3, 53.7, 61.9, 66.7, 61.0, 82.8, 74.9, 91.5, 94.5, 94.7), findings=(above(RANDOM),)),
        "simclr": Row(
            base=SIMCLR_1000,
            published=_on_twelve(68.4, 90.6, 71.6, 37.4, 58.8, 50.3, 50.3, 80.5, 74.5, 83.6, 90.3, 91.2),
            findings=(above(RANDOM), below("supervised")),
        ),
        "simsiam": Row(base=CONSTANT, findings=(above(RANDOM),)),
    },
    onto=_linear,
    remark="Findings are of the first data set. The paper's numbers stand beside data sets that are named as it names them: "
    f"{', '.join(TWELVE)}; the supervised network is better on all of them at this size, and no longer at four times the width. "
    "It is trained for as long as SimCLR and with its views, by VISSL's optimiser on a cosine.",
)

FINETUNED = Study(
    name="transfer-finetuned",
    question="Are networks that began without labels as good for other images as those that began with them, once all layers are trained?",
    source="SimCLR (arXiv:2002.05709), Table B.5: fine-tuning",
    base=BY_ITS_VIEWS,
    rows={
        "supervised": Row(published=_on_twelve(88.3, 97.5, 86.4, 75.8, 64.3, 92.1, 86.0, 85.0, 74.6, 92.1, 93.3, 97.6), findings=(above(RANDOM),)),
        "simclr": Row(
            base=SIMCLR_1000,
            published=_on_twelve(88.2, 97.7, 85.9, 75.9, 63.5, 91.3, 88.1, 84.1, 73.2, 89.2, 92.1, 97.0),
            findings=(above(RANDOM), near("supervised")),
        ),
        "simsiam": Row(base=CONSTANT, findings=(above(RANDOM),)),
    },
    onto=_tuned,
    untrained=_on_twelve(86.9, 95.9, 80.2, 76.1, 53.6, 91.4, 85.9, 67.3, 64.8, 81.5, 72.6, 92.0),
    remark="Findings are of the first data set; the paper's hold on most of its twelve, not on all. Its networks from random initialisation were "
    "trained for twice as many steps, ours for as many as the others.",
)


def _detector(scale: Scale, one: DataSet) -> tuple[Judging, ...]:
    """Return the training of a detector by the schedule that ``one`` is called after; by the scaled one but at the paper's scale."""
    settings = one.name if scale == "paper" else "small"
    if settings not in DETECTION:
        schedules = ", ".join(name for name in DETECTION if name != "small")
        raise UserError(f"--onto {one}: at scale paper the name is the schedule, one of {schedules}, as in voc07=VOCdevkit")
    schedule = DETECTION[settings]
    metrics = [f"{region}_ap{at}" for region in ("box", *(["mask"] if schedule.masks else [])) for at in ("", "50", "75")]
    figures = tuple(Figure(_region(one.name, metric), "detection", schedule.variant, metric, one.name) for metric in metrics)
    return (Judging(protocols=("detection",), settings=settings, onto=one, figures=figures, seeded=True),)


def _region(data: str, metric: str) -> str:
    return f"{data} {metric.replace('_ap', ' AP').removeprefix('box ')}"


def _detected(voc07: tuple[float, ...], voc0712: tuple[float, ...], box: tuple[float, ...], mask: tuple[float, ...]) -> Mapping[str, float]:
    """Return a line of Table 5, which has AP50, AP and AP75 of each, by the names of the figures."""
    columns = (("voc07", "box", voc07), ("voc0712", "box", voc0712), ("coco-1x", "box", box), ("coco-1x", "mask", mask))
    return {
        _region(data, f"{region}_ap{at}"): number for data, region, numbers in columns for at, number in zip(("50", "", "75"), numbers, strict=True)
    }


STRIDES: Mapping[str, str] = {"net.stem": "imagenet"}


def _strided(bases: Bases) -> Bases:
    """Return ``bases`` with a stem that small images would do without: detectors need maps of strides up to 32."""
    return always(bases, {}, {"gpu": STRIDES, "small": STRIDES})


def _pretrained(method: str, *published: tuple[float, ...]) -> Row:
    """Return a row of Table 5: the method as in Table 4, after 200 epochs at the paper's scale."""
    smaller: Mapping[Scale, Mapping[str, Value]] = {"gpu": {}, "small": {}}
    changes = {"train.epochs": "200", **(LONGER_BYOL[2] if method == "byol" else {})}
    return Row(changes, smaller, _strided(TABLE_4[method][0]), _detected(*published), (above(RANDOM),))


DETECTED = Study(
    name="detection",
    question="Do backbones that were pretrained without labels serve detection as well as supervised ones, whatever the method?",
    source="SimSiam (arXiv:2011.10566), Table 5",
    base=_strided(SUPERVISED),
    rows={
        "supervised": Row(
            published=_detected((74.4, 42.4, 42.7), (81.3, 53.5, 58.8), (58.2, 38.2, 41.2), (54.7, 33.3, 35.2)), findings=(above(RANDOM),)
        ),
        **{
            method: _pretrained(method, *numbers)
            for method, *numbers in (
                ("simclr", (75.9, 46.8, 50.1), (81.8, 55.5, 61.4), (57.7, 37.9, 40.9), (54.6, 33.3, 35.3)),
                ("moco", (77.1, 48.5, 52.5), (82.3, 57.0, 63.3), (58.8, 39.2, 42.5), (55.5, 34.3, 36.6)),
                ("byol", (77.1, 47.0, 49.9), (81.4, 55.3, 61.1), (57.8, 37.9, 40.9), (54.3, 33.2, 35.0)),
                ("swav", (75.5, 46.5, 49.6), (81.5, 55.4, 61.4), (57.6, 37.6, 40.3), (54.2, 33.1, 35.1)),
                ("simsiam", (75.5, 47.0, 50.2), (82.0, 56.4, 62.8), (57.5, 37.9, 40.9), (54.2, 33.2, 35.2)),
            )
        },
        "simsiam, for transfer": Row(
            {"train.epochs": "200", "optim.lr": "0.5", "optim.weight_decay": "1e-5"},
            base=TABLE_4["simsiam"][0],
            published=_detected((77.3, 48.5, 52.5), (82.4, 57.0, 63.7), (59.3, 39.2, 42.1), (56.0, 34.4, 36.7)),
            findings=(above(RANDOM), above("simsiam")),
            scales=("paper",),
        ),
    },
    onto=_detector,
    untrained=_detected((35.9, 16.8, 13.0), (60.2, 33.8, 33.1), (44.0, 26.4, 27.8), (46.9, 29.3, 30.8)),
    remark="In the paper: ResNet-50 C4, all layers trained, 200 epochs of pretraining, the detector's rate searched for each method. Findings are "
    "of the first data set's AP; whether a method is above the supervised network differs from one to the other. For transfer it pretrained with "
    "a rate of 0.5 and a weight decay of 1e-5.",
)

STUDIES = (SEMI, TRANSFER, FINETUNED, DETECTED)
