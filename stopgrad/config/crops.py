"""Multi-crop in its usual notation: ``2x224+6x96`` is two views of 224 pixels and six of 96. Caron et al., arXiv:2006.09882, Sec. 3.3."""

import re
from dataclasses import replace

from stopgrad.config.run import View
from stopgrad.errors import UserError

PATH = "views.crops"
"""What sets it; no field of a view, for it makes them."""
LARGE_SCALE, SMALL_SCALE = (0.14, 1.0), (0.05, 0.14)
"""Share of the image in the crops of the first size and of the others (the official code)."""


def cropped(views: tuple[View, ...], text: str) -> tuple[View, ...]:
    """Return ``views`` in the numbers and sizes of ``text``, else like those that there were, in turn.

    With several sizes the crops' shares of the image are SwAV's. Views that are so many and so large already stay as they are, whatever
    else was set of them since. Raises UserError for another notation.
    """
    groups = [re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", part.strip()) for part in text.split("+")]
    pairs = [(int(group[1]), int(group[2])) for group in groups if group is not None]
    if len(pairs) < len(groups):
        raise UserError(f"{PATH}: numbers and sizes of views, as in 2x224+6x96, not {text!r}")
    sizes = [size for count, size in pairs for _ in range(count)]
    if [view.size for view in views] == sizes:
        return views
    made = [replace(views[i % min(len(views), pairs[0][0])], size=size) for i, size in enumerate(sizes)]
    if len(pairs) == 1:
        return tuple(made)
    return tuple(replace(view, scale=LARGE_SCALE if i < pairs[0][0] else SMALL_SCALE) for i, view in enumerate(made))
