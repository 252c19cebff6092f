"""``stopgrad report``: one HTML file that needs nothing else, made only from the files of run directories.

Everything that came from outside (file names, labels, commands, reasons) passes through autoescaping or the JSON filter; the
page's policy forbids every request.
"""

import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

import stopgrad
from stopgrad.errors import UserError
from stopgrad.files import write_whole
from stopgrad.report.charts import FRAME
from stopgrad.report.curves import draw
from stopgrad.report.files import RunFiles, read_run
from stopgrad.report.pictures import collect
from stopgrad.report.results import tabulate
from stopgrad.report.settings import configuration, environment
from stopgrad.report.summary import summarise
from stopgrad.report.thumbnails import Thumbnail
from stopgrad.report.wording import visible

NAMED_BAD = 50
"""Images set aside that are named one by one; of more, the rest is counted."""


@dataclass(frozen=True)
class SetAside:
    """The unreadable images of a run: how many for each reason, and the first by name."""

    run: str
    used: int | None
    total: int
    reasons: tuple[tuple[str, int], ...]
    named: tuple[tuple[str, str], ...]


def write_report(runs: Sequence[Path], out: Path, thumbnail: Thumbnail | None = None) -> Path:
    """Write the page of one or several run directories to ``out`` and return it. The same files give the same bytes.

    ``thumbnail`` reaches the images named in embeddings.parquet; without it (or where it returns None) names stand in their place.
    Raises UserError when a directory holds no run, a file of it is damaged, or ``out`` cannot be written.
    """
    if not runs:
        raise UserError("report: name at least one run directory")
    if len({path.resolve() for path in runs}) < len(runs):
        raise UserError("report: a run directory is named twice; name each once")
    html = render([read_run(path, name) for path, name in zip(runs, _names(runs), strict=True)], thumbnail)
    write_whole(out, html.encode())
    return out


def render(runs: Sequence[RunFiles], thumbnail: Thumbnail | None) -> str:
    """Return the page of ``runs`` as HTML."""
    charts, hover_data = draw(runs)
    pictures = collect(runs, thumbnail)
    page: dict[str, Any] = {
        "title": runs[0].name if len(runs) == 1 else f"{len(runs)} runs compared",
        "several": len(runs) > 1,
        "where": shlex.quote(str(runs[0].directory)) if len(runs) == 1 else "RUN",
        "summaries": [summarise(run, i) for i, run in enumerate(runs)],
        "results": tabulate(runs),
        "charts": charts,
        "pictures": pictures,
        "configuration": configuration(runs),
        "environment": environment(runs),
        "images": [_set_aside(run) for run in runs],
        "data": {"charts": hover_data, "frame": FRAME, "map": pictures.data},
        "version": stopgrad.__version__,
    }
    return _environment().get_template("page.html.jinja").render(page)


def _environment() -> Environment:
    jinja = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        finalize=lambda value: visible(value) if type(value) is str else value,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    jinja.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    return jinja


def _names(runs: Sequence[Path]) -> list[str]:
    """Return the folders' names; where two are the same, the whole paths as given."""
    short = [path.resolve().name for path in runs]
    return [name if short.count(name) == 1 else str(path) for name, path in zip(short, runs, strict=True)]


def _set_aside(run: RunFiles) -> SetAside:
    reasons = Counter(reason for _, reason in run.bad_images)
    ranked = tuple(sorted(reasons.items(), key=lambda item: (-item[1], item[0])))
    return SetAside(run.name, run.status.used if run.status else None, len(run.bad_images), ranked, run.bad_images[:NAMED_BAD])
