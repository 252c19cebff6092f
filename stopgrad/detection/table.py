"""What detectors reached, as a table for the terminal. Imports no torch."""

from collections.abc import Iterable
from typing import Any

from stopgrad.progress import table

COLUMNS = {"AP50": "box_ap50", "AP": "box_ap", "AP75": "box_ap75", "mask AP50": "mask_ap50", "mask AP": "mask_ap", "mask AP75": "mask_ap75"}
"""In the papers' order (arXiv:2011.10566, Table 5)."""


def ap_table(records: Iterable[dict[str, Any]]) -> list[str]:
    """Return a row for each line of evaluations.jsonl that is of detection, in percent; columns of masks where there are some."""
    rows = [record for record in records if record["protocol"] == "detection"]
    columns = {name: key for name, key in COLUMNS.items() if any(key in record["scores"] for record in rows)}

    def cells(record: dict[str, Any]) -> list[str]:
        found = (record["scores"].get(key) for key in columns.values())
        return [record["features"], *("-" if value is None else f"{value:.1%}"[:-1] for value in found)]

    return table([f"{rows[0]['data']}, {rows[0]['variant']}" if rows else "", *columns], [cells(record) for record in rows])
