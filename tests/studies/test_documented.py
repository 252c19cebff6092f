"""docs/studies: every page is what its record makes, so that no number in it was typed by hand."""

import json
import math
from collections import Counter
from pathlib import Path

import pytest

from stopgrad.report.records import Record, records
from stopgrad.studies.catalogue import STUDIES
from stopgrad.studies.judging import RANDOM
from stopgrad.studies.measured import Measured
from stopgrad.studies.results import write
from stopgrad.studies.verdicts import verdict
from tests.studies.made import told

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
    configurations = {run.rpartition("-")[0] for record in RECORDS.values() if record["seeds"] == 3 for row in record["rows"] for run in row["runs"]}
    readme = (FOLDER.parents[1] / "README.md").read_text()
    assert f"{len(configurations)} configurations, three seeds | {told}" in readme


@pytest.mark.parametrize("study", RECORDS)
def test_every_verdict_follows_from_the_values_that_stand_there(study: str) -> None:
    """But for the test images' part of an interval, which is of what each run says of each of them."""
    record, findings = RECORDS[study], {name: row.findings for name, row in STUDIES[study].rows.items()}
    main, rows = record["figures"][0]["name"], {row["name"]: measured_of(row) for row in record["rows"]}
    began = [
        Measured(
            seed=i, state="healthy", told={name: told(values[i]) for name, values in record["random"].items()}, random={}, std=None, label_free={}
        )
        for i in range(len(record["random"][main]))
    ]
    random = {one.seed: one.figures for one in began}
    for row in record["rows"]:
        assert len(row["verdicts"]) == len(findings[row["name"]])
        for finding, stands in zip(findings[row["name"]], row["verdicts"], strict=True):
            other = began if finding.other == RANDOM else rows.get(finding.other, [])
            found = verdict(finding, rows[row["name"]], other, random, main, record["seeds"])
            assert stands["finding"] == found.finding
            if found.difference is None:
                assert (stands["outcome"], stands["said"]) == (found.outcome, found.said)
                continue
            apart, there = found.difference, stands["difference"]
            assert (there["points"], there["over_seeds"]) == pytest.approx((apart.points, apart.over_seeds))
            assert there["images_told"]
            assert there["over_images"] >= apart.over_images, "one test image"
            half = math.hypot(there["over_seeds"], there["over_images"])
            assert there["interval"] == pytest.approx([apart.points - half, apart.points + half])
            low, high = there["interval"]
            assert f"{apart.points:+.1f} points, 95 % interval {low:+.1f} to {high:+.1f} over {record['seeds']} paired seeds" in stands["said"]
            holds = {"above": low > 0, "below": high < 0, "near": -finding.points <= low and high <= finding.points}
            refuted = {"above": high < 0, "below": low > 0, "near": low > finding.points or high < -finding.points}
            outcome = "holds" if holds[finding.kind] else "does not hold" if refuted[finding.kind] else "cannot be told"
            assert stands["outcome"] == outcome


def measured_of(row: Record) -> list[Measured]:
    """Return a row's runs as the record has them."""
    found = []
    for i, (seed, state) in enumerate(zip(row["at_seeds"], row["states"], strict=True)):
        values = {name: told(each[i]) for name, each in row["values"].items() if each[i] is not None}
        found.append(Measured(seed=seed, state=state, told=values, random={}, std=row["std"][i], label_free={}))
    return found
