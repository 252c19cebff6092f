"""The page of results: a part for each group of measurements, so that one can be measured again and the others stay."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.measure import Row
from benchmarks.peers import NEEDS, lacking

PARTS = ("gpu", "views", "jpeg", "training", "startup")
"""In the order of the page."""

HEAD = """# Measured against peers, on the {device}

Written by `make bench{target}`; `python -m benchmarks --only PART` measures a part again. Cases take turns, ratios are taken turn by turn:
median (smallest..largest). {clock} What a peer's package does not offer ready-made is re-created from its published settings, in our own words.
"""
CLOCKS = {"cpu": "One thread; where nothing else is said, time is the processor's.", "cuda": "Time is the clock's, GPU kernels included."}


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a Markdown table."""
    return ["| " + " | ".join(header) + " |", "|---" * len(header) + "|", *("| " + " | ".join(row) + " |" for row in rows), ""]


def absence(case: str) -> str:
    """Return why a case could not run: the packages of the peer that its name tells."""
    missing = [package for peer in NEEDS if peer in case for package in lacking(peer)]
    return f"not measured: {', '.join(missing)} not installed"


def rates(rows: Sequence[Row], unit: str, base: str, digits: int = 0) -> list[str]:
    """Return a table of rates, and of how many times as fast as ``base`` each is; what could not run is named."""
    body = []
    for row in rows:
        rate = absence(row.case) if row.rate is None else row.rate.text(digits)
        body.append((row.case, rate, "" if row.rate is None else row.times.text(2 if digits else 1) if row.times else "1"))
    return table(("case", f"{unit}, median (range)", f"times {base}"), body)


def read(text: str) -> dict[str, str]:
    """Return the parts of a page by their names."""
    return {name: body for name, body in re.findall(r"<!-- (\w+) -->\n(.*?)<!-- /\1 -->", text, re.S) if name in PARTS}


def write(path: Path, device: str, measured: Mapping[str, Sequence[str]]) -> str:
    """Write the page with the parts ``measured`` (lines) put in place of those of their names, and return it."""
    parts = read(path.read_text()) if path.exists() else {}
    parts |= {name: "\n".join(lines).strip() + "\n" for name, lines in measured.items()}
    head = HEAD.format(device={"cpu": "CPU", "cuda": "GPU"}[device], target="" if device == "cpu" else "-gpu", clock=CLOCKS[device])
    page = head + "".join(f"\n<!-- {name} -->\n{parts[name]}<!-- /{name} -->\n" for name in PARTS if name in parts)
    path.write_text(page)
    return page
