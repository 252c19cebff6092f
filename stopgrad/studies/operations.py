"""What the layers before and after SimCLR's head still say of how a view was made. SimCLR, Sec. 4.2, Table 3.

Pretraining has the operation that is then to be told, but for grey, which it always has; both layers are of one width.
"""

from collections.abc import Mapping

from stopgrad.studies.judging import Figure, Judging
from stopgrad.studies.scales import of_method
from stopgrad.studies.simclr import EPOCHS, PAPER
from stopgrad.studies.study import NO_COLLAPSE, Row, Scale, Study, always, below
from stopgrad.studies.values import Value

ROTATED: dict[str, Value] = {"views.rotate": "0.75"}
NOT_ROTATED: dict[str, Value] = {"views.rotate": "0"}
OPERATIONS: dict[str, tuple[str, dict[str, Value], float, float]] = {
    "rotation": ("rotation", {}, 67.6, 25.6),
    "noise": ("noise", NOT_ROTATED | {"views.noise": "0.5"}, 99.5, 59.6),
    "Sobel": ("sobel", NOT_ROTATED | {"views.sobel": "0.5"}, 96.6, 56.3),
    "grey": ("grey", NOT_ROTATED, 99.3, 97.4),
}
"""Name to the protocol's settings, what rows change of a pretraining with rotation, and the accuracies before and after the head."""
BASE = always(
    of_method("simclr", "simclr/imagenet", EPOCHS),
    ROTATED,
    {"paper": {"method.projector": "2048,2048"}, "gpu": {"method.projector": "512,512"}, "small": {"method.projector": "256,256"}},
)


def _told(settings: str) -> Mapping[Scale, tuple[Judging, ...]]:
    way = (Judging(protocols=("operation",), settings=settings, figures=(Figure("operation", "operation", settings),)),)
    return {"paper": way, "gpu": way, "small": way}


def _rows() -> dict[str, Row]:
    rows = {}
    for name, (settings, changes, before, after) in OPERATIONS.items():
        scales: tuple[Scale, ...] = ("paper", "gpu") if name == "grey" else ("paper", "gpu", "small")
        rows[f"{name}, before the head"] = Row(changes, published=before, findings=(NO_COLLAPSE,), scales=scales, judged=_told(settings))
        rows[f"{name}, after it"] = Row(
            changes, published=after, findings=(below(f"{name}, before the head"),), after_head=True, scales=scales, judged=_told(settings)
        )
    return rows


STUDIES = (
    Study(
        name="operations",
        question="Does SimCLR's head throw away how a view was made, and does the layer before it keep that?",
        source=f"{PAPER}, Table 3",
        base=BASE,
        rows=_rows(),
        remark="Accuracy of telling the form of the operation from one view: a guess has 25 % of rotation, 50 of noise and of Sobel, 80 of grey. "
        "Two rows of one operation are to be compared, as the findings do. The paper does not say how its small networks are trained; the bundled "
        "images are grey already.",
    ),
)
