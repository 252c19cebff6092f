"""docs/studies: every page is what its record makes, so that no number in it was typed by hand."""

import json
from collections import Counter
from pathlib import Path

import pytest

from stopgrad.report.records import records
from stopgrad.studies.results import write

FOLDER = Path(__file__).parents[2] / "docs/studies"
RECORDS = records(FOLDER / "results.json")


def test_there_are_pages_and_the_index_names_them() -> None:
    index = (FOLDER / "README.md").read_text()
    pages = {page.stem for page in FOLDER.glob("*.md")} - {"README"}
    assert pages == RECORDS.keys() != set()
    assert all(f"({page}.md)" in index for page in pages)


@pytest.mark.parametrize("study", RECORDS)
def test_pages_and_values_are_what_the_record_makes(study: str, tmp_path: Path) -> None:
    for made in write(RECORDS[study], tmp_path)[:2]:
        assert made.read_bytes() == (FOLDER / made.name).read_bytes()


@pytest.mark.parametrize("study", RECORDS)
def test_every_number_is_of_the_seeds_and_versions_that_are_named(study: str) -> None:
    record = RECORDS[study]
    assert record["scale"] == "small"
    assert all(len(row["states"]) == len(row["at_seeds"]) == record["seeds"] for row in record["rows"])
    assert {"date", "versions", "python", "platform", "cores"} <= record["made"].keys()
    assert json.dumps(record).count("/tmp/") == 0


def test_the_readme_counts_what_stands_there() -> None:
    rows = [row for record in RECORDS.values() for row in record["rows"]]
    outcomes = Counter(verdict["outcome"] for row in rows for verdict in row["verdicts"])
    counted = [outcomes[outcome] for outcome in ("holds", "cannot be told", "does not hold")]
    told = "of {} findings {} hold, {} cannot be told, {} do not hold".format(outcomes.total(), *counted)
    configurations = {run.rpartition("-")[0] for row in rows for run in row["runs"]}
    readme = (FOLDER.parents[1] / "README.md").read_text()
    assert f"{len(configurations)} configurations, three seeds | {told}" in readme
