"""What to do next with a run: what ``onward`` proposes, how an unfinished or failed one goes on, and the same in Python."""

import re
import shlex
from collections.abc import Sequence
from pathlib import PurePath

from stopgrad import onward
from stopgrad.images.place import ARRAYS
from stopgrad.onward import NextStep
from stopgrad.report.files import Judged, RunFiles


def command(run: RunFiles) -> str | None:
    """Return the command that started the run, as one would type it; None when environment.json does not tell."""
    words = _typed(run)
    return shlex.join(words) if words else None


def next_steps(run: RunFiles, kind: str) -> list[NextStep]:
    """Return what would fill the gaps of the page, then what the backbone is for; ``kind`` is the summary's."""
    if run.status is None or run.status.state != "finished":  # a backbone may stand there: it is written just before the status says so
        return [_anew(run) if kind == "collapsed" else _resumed(run)]
    if _own_module(run):
        return _with_own_module(run)
    proposed = onward.next_steps(run.directory)
    found = [step for verb in ("evaluate", "embed", "export") for step in proposed if step.verb == verb]
    if kind in ("collapsed", "warned"):
        return [*found, _anew(run)]
    return [*found, NextStep("load", f"stopgrad.load_backbone({str(run.directory)!r})", "In Python: the trained backbone, a torch.nn.Module")]


def to_report(runs: Sequence[Judged]) -> NextStep:
    """Return the command that makes the page again."""
    words = ["stopgrad", "report", *(str(run.directory) for run in runs)]
    folder = "run" if isinstance(runs[0], RunFiles) else "folder"
    where = f"the first {folder}" if len(runs) > 1 else f"the {folder}"
    return NextStep("report", shlex.join(words), f"Make this page again once something is new (report.html in {where}, or --out PAGE)")


def _resumed(run: RunFiles) -> NextStep:
    words = _started(run)
    if words is None:
        call = f"stopgrad.pretrain(…, {str(run.directory)!r}, …)"
        return NextStep("pretrain", call, "Go on from the last checkpoint: the call in Python that started it, again")
    return NextStep("pretrain", shlex.join(words), "Go on from the last checkpoint: the command that started it, again")


def _anew(run: RunFiles) -> NextStep:
    words, elsewhere, tried = _typed(run) or [], f"{run.directory}-again", _tried(run)
    purpose = "Train again into another folder" + (", with the first of what the verdict says to try" if tried else "")
    if ["stopgrad", "pretrain"] not in (words[:2], words[4:6]):  # typed, or behind torchrun; what else trained it need not take --out
        return NextStep("pretrain", f"stopgrad.pretrain(…, {elsewhere!r}, …)", f"{purpose}, in Python")
    kept = _without(words, "--out")
    if tried:
        kept = [*_without(kept, tried[0], tried[1].partition("=")[0] if tried[0] == "--set" else ""), *tried]
    return NextStep("pretrain", shlex.join([*kept, "--out", elsewhere]), purpose)


def _tried(run: RunFiles) -> tuple[str, str] | None:
    """Return the option, and its value, that the verdict names first."""
    named = re.search(r"(--set|--epochs) ([\w.]+=[\w.,-]*\w|\d+)", run.status.text if run.status is not None else "")
    return (named[1], named[2]) if named else None


def _without(words: list[str], option: str, path: str = "") -> list[str]:
    """Return ``words`` without ``option`` and its value; of ``--set``, the one of ``path``."""
    kept = [*words]
    for i in range(len(words) - 1, 0, -1):
        name, equals, value = words[i].partition("=")
        if name == option and equals and value.startswith(path):
            del kept[i]
        elif words[i] == option and words[i + 1 :] and words[i + 1].startswith(f"{path}=" if path else ""):
            del kept[i : i + 2]
    return kept


def _typed(run: RunFiles) -> list[str] | None:
    """Return the words of the command that started the run; None where it was a call in Python."""
    words = [str(word) for word in run.environment.get("command") or ()]
    path = PurePath(words[0] if words else "")
    name = "stopgrad" if path.parts[-2:] == ("stopgrad", "__main__.py") else path.name
    if name in ("", "-c", "-m", "__main__.py", "ipykernel_launcher.py"):
        return None
    processes = run.environment.get("processes")
    if isinstance(processes, int) and processes > 1:
        return ["torchrun", "--nproc-per-node", str(processes), *(["-m", "stopgrad"] if name == "stopgrad" else words[:1]), *words[1:]]
    return ["python", *words] if name.endswith(".py") else [name, *words[1:]]


def _started(run: RunFiles) -> list[str] | None:
    """Return the words of the command that started the run, or of one that resumes it; None when only Python can."""
    data = run.config.data
    if (known := _typed(run)) or data.source == ARRAYS or _own_module(run):
        return known
    # Resuming takes every setting from the run; only the labels and the recipe's name must be the same.
    labels = [] if data.labels == "auto" else ["--labels", data.labels]
    return ["stopgrad", "pretrain", data.source, *labels, "--recipe", run.config.recipe, "--out", str(run.directory)]


def _own_module(run: RunFiles) -> bool:
    return run.config.net.own


def _with_own_module(run: RunFiles) -> list[NextStep]:
    """Return the calls for a backbone of the user's own, of which a fresh one must be handed over."""
    where, module = repr(str(run.directory)), f"{run.config.net.backbone.removeprefix('module:')}()"
    judge = NextStep("evaluate", f"stopgrad.evaluate({where}, data=…, backbone={module})", "In Python: kNN and linear accuracy")
    embed = NextStep("embed", f"stopgrad.embed({where}, …, backbone={module})", "In Python: an embedding an image, shown by the report")
    load = NextStep("load", f"stopgrad.load_backbone({where}, {module})", "In Python: the trained backbone")
    return [*([] if run.evaluations else [judge]), *([] if run.embeddings else [embed]), load]
