"""``stopgrad report``."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from stopgrad.beforehand import refuse_no_run, refuse_place
from stopgrad.commands.training import DONE
from stopgrad.errors import UserError
from stopgrad.runs import RunDirectory

SUMMARY = "one self-contained HTML page from one or more runs, or from a folder of studies"
EXAMPLE = "stopgrad report runs/photos"


def add(p: ArgumentParser) -> None:
    """Declare the words."""
    p.add_argument("runs", metavar="RUN", nargs="+", type=Path, help="run directories, several are shown side by side; or the folder of studies")
    p.add_argument("--out", type=Path, help="the page (default: report.html in the first folder)")


def run(asked: Namespace) -> int:
    """``stopgrad report``."""
    refuse_place(asked.out, ".html")
    studies = [folder for folder in asked.runs if (folder / "results.json").exists()]
    if studies and len(asked.runs) > 1:
        raise UserError(f"{studies[0]}: a folder of studies is a page of its own; name it alone")
    if studies:
        from stopgrad.report.study import write_studies

        return _said(write_studies(studies[0], asked.out or RunDirectory(studies[0]).report))
    for run in asked.runs:
        refuse_no_run(run)
    from stopgrad.report.page import write_report
    from stopgrad.thumbnails import thumbnails

    return _said(write_report(asked.runs, asked.out or RunDirectory(asked.runs[0]).report, thumbnails()))


def _said(page: Path) -> int:
    print(f"written to {page}; open it in a browser")
    return DONE
