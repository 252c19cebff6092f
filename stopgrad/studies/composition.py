"""Which operations make SimCLR's views: one branch is changed by one operation or two, the other shows the image as it is. SimCLR, Sec. 3.1, Fig. 5.

The figure has a cell for either order of a pair. Here operations have one order (views/render.py), and a pair one row.
"""

from itertools import combinations

from stopgrad.studies.scales import judged_as, of_method
from stopgrad.studies.simclr import EPOCHS, PAPER
from stopgrad.studies.study import NO_COLLAPSE, Row, Study, above, always, below
from stopgrad.studies.values import Value

UNCHANGED = {"views.1.scale": "1,1", "views.flip": "0", "views.jitter_p": "0", "views.grey": "0", "views.blur": "0"}
"""What leaves the first view with its crop, and the second with nothing."""
SHARED = {"views.shared_crop": "0.08,1"}

WHOLE: dict[str, Value] = {"views.0.scale": "1,1"}
OPERATIONS: dict[str, dict[str, Value]] = {
    "crop": {},
    "cutout": {"views.0.cutout": "1"},
    "colour": {"views.0.jitter_p": "0.8", "views.0.grey": "0.2"},
    "Sobel": {"views.0.sobel": "1"},
    "noise": {"views.0.noise": "1"},
    "blur": {"views.0.blur": "1"},
    "rotate": {"views.0.rotate": "1"},
}
"""As rows that begin with the crop have them."""
BEST = "crop + colour"


def _row(*names: str) -> Row:
    """Return the row of one operation or two: what they change, and, without the crop, that the first view is whole."""
    changes = {} if "crop" in names else dict(WHOLE)
    for name in names:
        changes |= OPERATIONS[name]
    return Row(changes, findings=(NO_COLLAPSE, above("crop"), above("colour")) if " + ".join(names) == BEST else (below(BEST),))


COMPOSITION = Study(
    name="composition",
    question="Which operations, and which two together, make views that SimCLR learns from?",
    source=f"{PAPER}, Fig. 5",
    base=always(of_method("simclr", "simclr/imagenet", EPOCHS), UNCHANGED, {"paper": SHARED}),
    rows={" + ".join(names): _row(*names) for names in (*((name,) for name in OPERATIONS), *combinations(OPERATIONS, 2))},
    each_with_each=tuple(OPERATIONS),
    remark="Only one branch is changed, which costs accuracy. Of ImageNet's images, which differ in size, both first take the same random crop. The "
    "paper names neither probabilities nor strengths: here every operation is always done (colour: jitter to 0.8, grey to 0.2), cutout takes half "
    "the side, noise up to 0.2 of the range. Its figure has a cell for either order of two operations; here they have one, and the map shows a pair "
    "twice. Its numbers are left out, since only its text could be checked: no operation suffices alone, and crop with colour stands out. Of grey "
    "images colour is brightness and contrast.",
)

STUDIES = judged_as("simclr", COMPOSITION)
