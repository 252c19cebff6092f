"""``stopgrad report``."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from stopgrad.beforehand import refuse_no_run, refuse_place
from stopgrad.commands.training import DONE
from stopgrad.runs import RunDirectory

SUMMARY = "one self-contained HTML page from one or more runs"
EXAMPLE = "stopgrad report runs/photos"


def add(p: ArgumentParser) -> None:
    """Declare the words."""
    p.add_argument("runs", metavar="RUN", nargs="+", type=Path, help="run directories; several are shown side by side")
    p.add_argument("--out", type=Path, help="the page (default: report.html in the first run)")


def run(asked: Namespace) -> int:
    """``stopgrad report``."""
    for run in asked.runs:
        refuse_no_run(run)
    refuse_place(asked.out, ".html")
    from stopgrad.report.page import write_report
    from stopgrad.thumbnails import thumbnails

    page = write_report(asked.runs, asked.out or RunDirectory(asked.runs[0]).report, thumbnails())
    print(f"written to {page}; open it in a browser")
    return DONE
