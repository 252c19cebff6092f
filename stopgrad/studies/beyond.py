"""What the papers did not ask: how far from its settings SimSiam collapses, and which score tells a good run without labels."""

from stopgrad.studies.scales import CONSTANT
from stopgrad.studies.study import NO_COLLAPSE, Row, Study
from stopgrad.studies.values import Times, Value

RATES = (("1/16", 1 / 16), ("1/4", 1 / 4), ("1", 1.0), ("4", 4.0), ("16", 16.0))
CROPS = ("0.04", "default", "0.5", "0.8")
"""Share of the image in the smallest crop; the default is 0.2 to 0.25."""


def _cell(rate: float, crop: str) -> Row:
    changes: dict[str, Value] = {} if crop == "default" else {"views.scale": f"{crop},1"}
    return Row(changes if rate == 1 else changes | {"optim.lr": Times(rate)})


GRID = {f"rate {name}, crops {crop}": _cell(rate, crop) for name, rate in RATES for crop in CROPS if (name, crop) != ("1", "default")}

SENSITIVITY = Study(
    name="sensitivity",
    question="At which learning rates and crop sizes does SimSiam learn, and where does it collapse?",
    source="asked by users of every implementation; not in the papers",
    base=CONSTANT,
    rows={"default": Row(findings=(NO_COLLAPSE,)), **GRID},
    grid=("optim.lr", "views.scale"),
    scores=True,
    remark="Multiples of the default rate, and the share of the image in the smallest crop.",
)

LABEL_FREE = Study(
    name="label-free",
    question="Which score should somebody without labels trust to tell a good run from a bad one?",
    source="RankMe (arXiv:2210.02885), alignment and uniformity (arXiv:2005.10242), LiDAR (arXiv:2312.04000) and alpha-ReQ (NeurIPS 2022)",
    base=CONSTANT,
    rows={
        "default": Row(),
        "no stop-gradient": Row({"method.stop_gradient": "false"}),
        "no predictor": Row({"method.predictor": "none"}),
        "predictor fixed": Row({"method.predictor": "fixed"}),
        "no BN": Row({"method.projector_bn": "false,false", "method.predictor_bn": "false,false"}),
        "cross-entropy": Row({"method.similarity": "cross_entropy"}),
        "asymmetric": Row({"method.symmetrised": "false"}),
        **{name: row for name, row in GRID.items() if "crops default" in name or "rate 1," in name},
    },
    scores=True,
    remark="Rank correlation (Spearman) of each score with the accuracy, over rows, means of their seeds.",
)

STUDIES = (SENSITIVITY, LABEL_FREE)
