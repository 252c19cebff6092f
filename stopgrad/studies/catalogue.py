"""All studies by name, in the order of the papers."""

from collections.abc import Mapping, Sequence

from stopgrad.errors import UserError, meant
from stopgrad.studies import beyond, byol, composition, downstream, moco, operations, simclr, simsiam, swav
from stopgrad.studies.judging import RANDOM
from stopgrad.studies.study import Row, Scale, Study

STUDIES: Mapping[str, Study] = {
    study.name: study for module in (simsiam, simclr, operations, composition, moco, byol, swav, downstream, beyond) for study in module.STUDIES
}


Chosen = Mapping[str, tuple[Study, Mapping[str, Row]]]
"""Study by name, with the rows that are wanted of it."""


def choose(names: Sequence[str], scale: Scale, rows: Sequence[str] | None) -> Chosen:
    """Return the studies of these names, each once, with all their rows at ``scale``, or of the one that is named those of ``rows``.

    Raises UserError for a study or row that there is not, naming the nearest, and for rows of several studies.
    """
    for name in names:
        if name not in STUDIES:
            raise UserError(f"no study {name!r}; {meant(name, list(STUDIES))}'stopgrad study --list' lists them")
    studies = [STUDIES[name] for name in dict.fromkeys(names)]
    if rows and len(studies) > 1:
        raise UserError(f"--rows {' '.join(rows)}: rows are of one study, and {len(studies)} are named; name one")
    return {study.name: (study, _rows_of(study, scale, rows)) for study in studies}


def _rows_of(study: Study, scale: Scale, wanted: Sequence[str] | None) -> dict[str, Row]:
    """Return the rows to do: all at ``scale``, or those ``wanted`` and what they are read against.

    Raises UserError for a row that the study has not at this scale, naming the nearest.
    """
    there = study.rows_at(scale)
    if not wanted:
        return dict(there)
    for name in wanted:
        if name not in there:
            raise UserError(
                f"--rows: {study.name} has no row {name!r} at scale {scale}; {meant(name, list(there))}there are {', '.join(map(repr, there))}"
            )
    needed = {study.reference, *wanted}
    while further := {finding.other for name in needed for finding in there[name].findings} - {*needed, "", RANDOM}:
        needed |= further
    return {name: row for name, row in there.items() if name in needed}
