"""``stopgrad report``: one HTML file that needs nothing else, made only from the files of run directories.

Everything that came from outside (file names, labels, commands, reasons) passes through autoescaping or the JSON filter; the
page's policy forbids every request.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

import stopgrad
from stopgrad.errors import UserError
from stopgrad.files import write_whole
from stopgrad.onward import NextStep
from stopgrad.report.charts import COLOURS, FRAME, paint
from stopgrad.report.curves import draw
from stopgrad.report.evaluations import told_apart
from stopgrad.report.files import Judged, RunFiles, read_folder
from stopgrad.report.pictures import collect
from stopgrad.report.results import tabulate
from stopgrad.report.settings import settings
from stopgrad.report.steps import to_report
from stopgrad.report.summary import Summary, besides, overview, summarise
from stopgrad.report.sweeps import sweeps
from stopgrad.report.thumbnails import Thumbnail
from stopgrad.report.wording import counted, visible

NAMED_BAD = 50
"""Images set aside that are named one by one; of more, the rest is counted."""
CARDS = 3
"""Runs whose heads stand side by side; more are a table."""
COMMANDS = 3
"""Commands that stand where something is missing; those for further runs stand in the last section only."""
SIDE_BY_SIDE = 8
"""Runs whose settings stand side by side; of more, every value is followed by the names."""


@dataclass(frozen=True)
class SetAside:
    """The images of a run, or of several alike: how many were trained on, and of the unreadable the reasons and the first by name."""

    runs: str
    words: str
    total: int
    reasons: tuple[tuple[str, int], ...]
    named: tuple[tuple[str, str], ...]


def write_report(runs: Sequence[Path], out: Path, thumbnail: Thumbnail | None = None) -> Path:
    """Write the page of one or several run directories to ``out`` and return it. The same files give the same bytes.

    A folder with results of a backbone that is no run's (evaluations.jsonl, what.json) is shown beside the runs, by its results.
    ``thumbnail`` reaches the images named in embeddings.parquet; without it (or where it returns None) names stand in their place.
    Raises UserError when a directory holds neither, a file of it is damaged, or ``out`` cannot be written.
    """
    if not runs:
        raise UserError("report: name at least one run directory")
    if len({path.resolve() for path in runs}) < len(runs):
        raise UserError("report: a run directory is named twice; name each once")
    folders = [read_folder(path, name) for path, name in zip(runs, _names(runs), strict=True)]
    figures = told_apart([folder.evaluations for folder in folders])
    named = [replace(folder, evaluations=tuple(own)) for folder, own in zip(folders, figures, strict=True)]
    html = render(_coloured(named), thumbnail)
    write_whole(out, html.encode())
    return out


def render(folders: Sequence[Judged], thumbnail: Thumbnail | None) -> str:
    """Return the page of ``folders`` as HTML."""
    runs = [folder for folder in folders if isinstance(folder, RunFiles)]
    charts, hover_data = draw(runs)
    pictures = collect(runs, thumbnail)
    summaries = [summarise(run, folders) for run in runs]
    page: dict[str, Any] = {
        "title": folders[0].name if len(folders) == 1 else f"{len(folders)} {'runs' if len(runs) == len(folders) else 'backbones'} compared",
        "several": len(folders) > 1,
        "summaries": summaries,
        "besides": [besides(folder) for folder in folders if folder.what is not None],
        "chosen": _chosen(summaries),
        "overview": overview(summaries) if len(runs) > CARDS else None,
        "results": tabulate(folders),
        "sweeps": sweeps(folders),
        "charts": charts,
        "pictures": pictures,
        "settings": settings(runs),
        "most_columns": SIDE_BY_SIDE,
        "images": _set_aside(runs),
        "to_judge": _to_do(summaries, "evaluate"),
        "to_embed": _to_do(summaries, "embed"),
        "most_commands": COMMANDS,
        "to_report": to_report(folders),
        "data": {"charts": hover_data, "frame": FRAME, "map": pictures.data},
        "version": stopgrad.__version__,
    }
    return environment().get_template("page.html.jinja").render(page)


def environment() -> Environment:
    jinja = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        finalize=lambda value: visible(value) if type(value) is str else value,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    jinja.filters |= {"paint": paint, "counted": counted}
    jinja.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    return jinja


def _names(runs: Sequence[Path]) -> list[str]:
    """Return the folders' names; where two are the same, the whole paths as given."""
    short = [path.resolve().name for path in runs]
    return [name if short.count(name) == 1 else str(path) for name, path in zip(short, runs, strict=True)]


def _coloured(folders: Sequence[Judged]) -> list[Judged]:
    """Return ``folders`` each with a colour of its own; where these do not suffice, the seeds of one configuration share one and differ in dashes."""
    kinds = [replace(f.config, train=replace(f.config.train, seed=0, threads=0)) if isinstance(f, RunFiles) else f.name for f in folders]
    groups = list(dict.fromkeys(kinds))
    if len(folders) <= COLOURS or len(groups) > COLOURS:
        return [replace(folder, colour=i) for i, folder in enumerate(folders)]
    turns = [kinds[:i].count(kind) for i, kind in enumerate(kinds)]
    return [replace(f, colour=groups.index(kind) + COLOURS * turn) for f, kind, turn in zip(folders, kinds, turns, strict=True)]


def _chosen(summaries: Sequence[Summary]) -> list[tuple[str, str]]:
    """Return every line of what was decided from the images, once, and whose it is where the runs do not share it."""
    holders: dict[str, list[str]] = {}
    for summary in summaries:
        for line in summary.chosen:
            holders.setdefault(line, []).append(summary.name)
    return [(line, "" if len(who) == len(summaries) else ", ".join(who)) for line, who in holders.items()]


def _to_do(summaries: Sequence[Summary], verb: str) -> list[NextStep]:
    return [step for summary in summaries for step in summary.next_steps if step.verb == verb]


def _set_aside(runs: Sequence[RunFiles]) -> list[SetAside]:
    """Return what became of the images, once for all runs of which the same is to be said."""
    alike: dict[tuple[str, tuple[tuple[str, str], ...]], list[str]] = {}
    for run in runs:
        alike.setdefault((_used(run), run.bad_images), []).append(run.name)
    found = []
    for (words, bad), names in alike.items():
        reasons = sorted(Counter(reason for _, reason in bad).items(), key=lambda item: (-item[1], item[0]))
        found.append(SetAside(", ".join(names), words, len(bad), tuple(reasons), bad[:NAMED_BAD]))
    return found


def _used(run: RunFiles) -> str:
    """Return in a sentence which images were trained on and which were not."""
    parts = [] if run.status is None else [f"{run.status.used:,} trained on"]
    if run.test_images:
        parts.append(f"{run.test_images:,} kept for judging, never trained on (the source's own test part, or a tenth of every class)")
    parts.append(f"{len(run.bad_images):,} set aside: unreadable, training went on without them" if run.bad_images else "none set aside")
    return "; ".join(parts) + "."
