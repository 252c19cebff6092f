"""A table of figures as Markdown, CSV and LaTeX (booktabs)."""

import csv
import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby

from stopgrad.report.columns import Column
from stopgrad.report.wording import visible

LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    **{c: f"\\{c}" for c in "&%$#_{}"},
}


@dataclass(frozen=True)
class Spread:
    """A cell, per cent."""

    mean: float
    std: float | None
    """Over the seeds, n - 1; None of one."""
    n: int
    marks: str
    """Letters of notes."""
    how: str
    """What decides it, in words."""


@dataclass(frozen=True)
class Line:
    """A row: a cell a column, None where nothing was measured."""

    label: str
    cells: tuple[Spread | None, ...]

    @property
    def n(self) -> int:
        """The most seeds of a cell."""
        return max(cell.n for cell in self.cells if cell is not None)


@dataclass(frozen=True)
class Grid:
    """The table; ``notes`` stand below it, each a sentence without its stop."""

    columns: tuple[Column, ...]
    lines: tuple[Line, ...]
    notes: tuple[str, ...]

    @property
    def seeds(self) -> bool:
        """Whether any cell is a mean."""
        return any(line.n > 1 for line in self.lines)


def markdown(grid: Grid) -> list[str]:
    """Return ``grid`` as a Markdown table whose columns are aligned in the text too, and its notes as a list."""
    n = ["n"] if grid.seeds else []
    rows = [["", *n, *(_in_markdown(column.full_title) for column in grid.columns)]]
    rows += [[_in_markdown(line.label), *([str(line.n)] if n else []), *(_cell(cell, line.n) for cell in line.cells)] for line in grid.lines]
    widths = [max(3, *(len(row[i]) for row in rows)) for i in range(len(rows[0]))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    aligned = [[row[0].ljust(widths[0]), *(text.rjust(width) for text, width in zip(row[1:], widths[1:], strict=True))] for row in rows]
    lines = [f"| {' | '.join(row)} |" for row in (aligned[0], rule, *aligned[1:])]
    return [*lines, "", *(f"- {_in_markdown(note)}." for note in grid.notes)]


def _cell(cell: Spread | None, n: int) -> str:
    """Return a cell in words, with its number of seeds where that is not the row's ``n``."""
    if cell is None:
        return ""
    text = f"{cell.mean:.1f}" + ("" if cell.std is None else f" ± {cell.std:.1f}")
    return text + ("" if cell.n == n else f" (n {cell.n})") + (f" ({cell.marks})" if cell.marks else "")


def _in_markdown(text: str) -> str:
    """Return ``text`` such that nothing in it is markup; underscores within words are none."""
    return re.sub(r"([\\`*\[\]<>|]|(?<!\w)_|_(?!\w))", r"\\\1", visible(text))


def as_csv(grid: Grid) -> list[str]:
    """Return ``grid`` as CSV: a line a row; a column is four: the mean, its standard deviation, the number of seeds and what decides it."""
    head = ["row", *(f"{column.code}{part}" for column in grid.columns for part in ("", "/std", "/n", "/how"))]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(head)
    for line in grid.lines:
        writer.writerow([visible(line.label), *(text for cell in line.cells for text in _in_csv(cell))])
    return buffer.getvalue().splitlines()


def _in_csv(cell: Spread | None) -> tuple[str, str, str, str]:
    if cell is None:
        return "", "", "", ""
    return f"{cell.mean:.1f}", "" if cell.std is None else f"{cell.std:.1f}", str(cell.n), visible(cell.how)


def latex(grid: Grid) -> list[str]:
    """Return ``grid`` as a tabular in the style of booktabs, data sets above their columns, and its notes as small text below."""
    n = ["n"] if grid.seeds else []
    before = 1 + len(n)
    head = _data_sets(grid, before) if any(column.data for column in grid.columns) else []
    head.append(_row(["", *n, *(_in_latex(column.title) for column in grid.columns)]))
    body = []
    for line in grid.lines:
        cells = [_in_latex(_cell(None if cell is None else cell, line.n)) for cell in line.cells]
        cells = [_raised(text, cell.marks) if cell is not None and cell.marks else text for text, cell in zip(cells, line.cells, strict=True)]
        body.append(_row([_in_latex(line.label), *([str(line.n)] if n else []), *cells]))
    notes = [r"{\footnotesize\noindent " + _in_latex(note) + r".\par}" for note in grid.notes]
    begin = r"\begin{tabular}{l" + "r" * (len(n) + len(grid.columns)) + "}"
    return [r"% needs \usepackage{booktabs}", begin, r"\toprule", *head, r"\midrule", *body, r"\bottomrule", r"\end{tabular}", "", *notes]


def _row(cells: list[str]) -> str:
    return " & ".join(cells).lstrip() + r" \\"


def _data_sets(grid: Grid, before: int) -> list[str]:
    """Return the line of data sets over their columns, and the rules below them."""
    cells, rules, at = [""] * before, [], before + 1
    for name, group in groupby(column.place for column in grid.columns):
        width = len(list(group))
        cells.append(rf"\multicolumn{{{width}}}{{c}}{{{_in_latex(name)}}}")
        rules += [rf"\cmidrule(lr){{{at}-{at + width - 1}}}"] if name else []
        at += width
    return [_row(cells), " ".join(rules)]


def _raised(text: str, marks: str) -> str:
    return text.removesuffix(f" ({marks})") + rf"\textsuperscript{{{marks}}}"


def _in_latex(text: str) -> str:
    return "".join(LATEX.get(c, c) for c in visible(text))


FORMS: dict[str, Callable[[Grid], list[str]]] = {"markdown": markdown, "csv": as_csv, "latex": latex}
"""Forms of a table by name."""
