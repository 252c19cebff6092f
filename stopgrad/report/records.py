"""results.json of studies: one record a study, which ``stopgrad study`` writes and of which every page and table is made."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import NoneType
from typing import Any

from stopgrad.errors import UserError

RESULTS = "results.json"
FORM = 4
"""Version of the file."""

Record = dict[str, Any]

Kinds = Mapping[str, tuple[type, ...]]
STUDY: Kinds = {
    **dict.fromkeys(("study", "question", "source", "remark", "scale", "about", "images", "expected", "reference", "command"), (str,)),
    **dict.fromkeys(("figures", "rows", "untrained", "correlations", "commands"), (list,)),
    **dict.fromkeys(("random", "made"), (dict,)),
    **dict.fromkeys(("noise", "test_images"), (int, float, NoneType)),
    "seeds": (int,),
    "curves": (bool,),
    "grid": (dict, NoneType),
}
"""What a record has, and of which kinds it may be."""
FIGURE: Kinds = dict.fromkeys(("name", "data", "protocol", "metric"), (str,))
ROW: Kinds = {
    "name": (str,),
    "recipe": (str,),
    "method": (str,),
    "head": (int,),
    "difference": (dict, NoneType),
    **dict.fromkeys(("before", "changes", "values"), (dict,)),
    **dict.fromkeys(("published", "runs", "at_seeds", "states", "std", "verdicts"), (list,)),
}


VERDICT: Kinds = dict.fromkeys(("finding", "outcome", "said"), (str,))
DIFFERENCE: Kinds = {"points": (int, float), "interval": (list, NoneType), "images_told": (bool,), "seeds": (int,)}
CORRELATION: Kinds = {"score": (str,), "of": (str,), "expected": (int,), "rho": (int, float), "interval": (list, NoneType), "rows": (int,)}


def records(results: Path) -> dict[str, Record]:
    """Return the records of ``results`` by study; none where there is no file. Raises UserError for a damaged one and one of another version."""
    if not results.exists():
        return {}
    cure = "move it away, stopgrad study makes it anew from the runs"
    try:
        found = json.loads(results.read_text())
    except ValueError:
        found = None
    if not isinstance(found, dict) or not isinstance(found.get("form"), int):
        raise UserError(f"{results}: is damaged, or no results.json of studies; {cure}")
    if found["form"] != FORM:
        raise UserError(f"{results}: was written by another version of stopgrad; {cure}")
    studies = found.get("studies")
    if not isinstance(studies, dict) or not all(_whole(record) for record in studies.values()):
        raise UserError(f"{results}: is damaged; {cure}")
    return studies


def _whole(record: Any) -> bool:
    """Return whether ``record`` has what is read of it."""
    if not _has(record, STUDY):
        return False
    names = [figure["name"] for figure in record["figures"] if _has(figure, FIGURE)]
    rows = [row for row in record["rows"] if _has(row, ROW) and row["values"].keys() == set(names)]
    figures = [values for row in rows for values in row["values"].values()] + list(record["random"].values())
    return (
        (len(names), len(rows)) == (len(record["figures"]), len(record["rows"]))
        and bool(names and rows)
        and record["random"].keys() == set(names)
        and all(isinstance(values, list) and all(isinstance(value, int | float | None) for value in values) for values in figures)
        and all(_has(verdict, VERDICT) for row in rows for verdict in row["verdicts"])
        and all(_has(one, CORRELATION) for one in record["correlations"])
        and all(row["difference"] is None or _has(row["difference"], DIFFERENCE) for row in rows)
    )


def _has(part: Any, kinds: Kinds) -> bool:
    return isinstance(part, dict) and all(isinstance(part.get(key), kind) for key, kind in kinds.items())
