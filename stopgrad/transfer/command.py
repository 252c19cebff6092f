"""Transfer as ``stopgrad evaluate`` does it: one backbone, and others beside it, on several data sets; a table a protocol."""

from collections.abc import Callable, Mapping, Sequence

import torch

from stopgrad.config.transfer import DataSet
from stopgrad.config.tuning import Finetune
from stopgrad.errors import UserError
from stopgrad.images.sources import LabelRule
from stopgrad.judging import Folder
from stopgrad.protocols.judge import Settings
from stopgrad.transfer.judged import candidates, transfer
from stopgrad.transfer.rows import transfer_table
from stopgrad.what import What, say


def tables(
    what: What,
    beside: Mapping[str, What],
    sets: Sequence[DataSet],
    protocols: Sequence[Settings],
    features: Sequence[str],
    device: torch.device,
    tell: Callable[[str], None],
    labels: LabelRule = "auto",
) -> list[str]:
    """Judge on every data set by every protocol, append the lines to the evaluations of ``what``, and return a table a protocol.

    ``beside``: name to another backbone. Raises UserError as ``transfer`` does, and where nothing is left to judge.
    """
    rows = {kind: one for kind, one in candidates(what).items() if kind in features or (kind.startswith("head ") and "backbone" in features)}
    if clash := rows.keys() & beside.keys():
        raise UserError(f"--beside {clash.pop()}: is what a row is called already; name it by another path")
    rows |= {name: candidates(other)["backbone"] for name, other in beside.items()}
    if not rows:
        raise UserError(f"{what.name}: of {' and '.join(features)} nothing can be judged on several data sets; ask for random or backbone")
    say(what, tell)
    for other in beside.values():
        for note in other.notes:
            tell(note)
    folder, lines = Folder(what.evaluations.parent, what.net), list[str]()
    for one in protocols:
        judged = {name: row for name, row in rows.items() if name != "pixels" or not isinstance(one, Finetune)}
        if not judged:
            raise UserError(f"{what.name}: pixels cannot be fine-tuned; ask for random or backbone (--features)")
        lines += [*transfer_table(transfer(judged, sets, one, what.evaluations, device, tell, folder, labels)), ""]
    return lines[:-1]
