"""What each command does: compose, print what was written and what to do next. Returns the exit status.

Each imports what takes time (torch, numpy, Pillow) only after everything that can be checked without it has been checked.
"""

import shlex
import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, cast

from stopgrad.accuracies import accuracies
from stopgrad.beforehand import check, overrides_of, packing, refuse_head, refuse_missing, refuse_no_run, refuse_place, refuse_taken, refuse_untrained
from stopgrad.catalogue import methods, recipes, show
from stopgrad.config import Data
from stopgrad.errors import UserError
from stopgrad.images.bad import listed, needed_share, refuse_few, too_many
from stopgrad.images.place import BUNDLED
from stopgrad.onward import EXPORTS, next_lines
from stopgrad.plan import Plan, choose, labelled, plan, recipe_name
from stopgrad.progress import Progress, duration
from stopgrad.publish.targets import refuse_existing
from stopgrad.recipes import IMAGES
from stopgrad.runs import RunDirectory, backbone_file
from stopgrad.world import world

if TYPE_CHECKING:
    from stopgrad.images.sources import LabelRule, Splits
    from stopgrad.train import Outcome

DONE, COLLAPSED, DIVERGED, INTERRUPTED = 0, 3, 4, 75


def pretrain(asked: Namespace) -> int:
    """``stopgrad pretrain``."""
    overrides, recipe = overrides_of(vars(asked), asked.overrides), recipe_name(asked.recipe, asked.method)
    out = asked.out or Path("runs") / f"{Path(asked.images).name or 'images'}-{recipe.replace('/', '-')}"
    check(recipe, overrides, asked.images, out)
    splits = _splits(asked.images, overrides["data.labels"])
    planned = plan(splits, asked.images, recipe, out, overrides, _has_gpu)
    return train(planned, splits, asked.device, asked.tensorboard)


def train(planned: Plan, splits: "Splits", device: str, tensorboard: bool) -> int:
    """Carry out a plan with a live line, and say how it ended."""
    out = planned.directory.path
    if planned.finished and not world().first:
        return DONE
    if planned.finished:
        said = planned.directory.status().get("verdict", {}).get("text", "")
        print(f"{out}: finished ({planned.run.train.epochs} epochs); nothing to do" + (f". It {said}" if said else ""))
        print("\n".join(next_lines(out)))
        return DONE
    from stopgrad.api import carry_out
    from stopgrad.finite import Diverged
    from stopgrad.monitor import Listeners

    if not world().first:
        try:
            return _status(carry_out(planned, splits, device, Listeners()))
        except Diverged:  # the first process says so
            return DIVERGED
    progress = Progress()
    for reason in planned.reasons:
        progress.line(f"  {reason}")
    listeners = Listeners(line=progress.line, record=progress.record, step=progress.step)
    if tensorboard:
        from stopgrad.monitor.tensorboard import with_tensorboard

        listeners = with_tensorboard(listeners, out / "tensorboard")
    try:
        outcome = carry_out(planned, splits, device, listeners)
    except Diverged as diverged:
        progress.close()
        print(f"stopgrad: {diverged}", file=sys.stderr)
        return DIVERGED
    progress.close()
    return _ended(outcome, out)


def _status(outcome: "Outcome") -> int:
    return {"finished": DONE, "collapsed": COLLAPSED, "interrupted": INTERRUPTED}[outcome.state]


def _ended(outcome: "Outcome", out: Path) -> int:
    if outcome.state == "interrupted":
        print(f"{out}: interrupted at step {outcome.step} of {outcome.steps}, saved; the same command goes on from there")
        return _status(outcome)
    if outcome.state == "collapsed":
        print(f"stopgrad: {out}: stopped at step {outcome.step}: {outcome.verdict.text}", file=sys.stderr)
        return _status(outcome)
    seen = {"healthy": "no collapse", "unlearned": "it has not learned, as said above"}.get(outcome.verdict.state, outcome.verdict.text)
    print(f"{out}: trained {outcome.steps} steps in {duration(outcome.seconds)}; {seen}")
    print(f"backbone: {out / 'backbone.safetensors'}")
    print("\n".join(next_lines(out)))
    return _status(outcome)


def _splits(images: str, labels: str) -> "Splits":
    from stopgrad.images.opened import open_images

    return open_images(images, cast("LabelRule", labels))


def _has_gpu() -> bool:
    from stopgrad.device import has_gpu

    return has_gpu()


def inspect_images(asked: Namespace) -> int:
    """``stopgrad inspect``."""
    recipe = recipe_name(method=asked.method)
    check(recipe, {}, asked.images)
    from stopgrad.images.inspect import describe, inspect

    splits = _splits(asked.images, asked.labels)
    labelled(recipe, splits)
    found = inspect(splits)
    print("\n".join(describe(found, splits.train.skipped)))
    chosen = choose(found, asked.images, _has_gpu, IMAGES[recipe])
    refuse_few(chosen.run.train.batch, found.images)
    wish = f" --method {asked.method}" if asked.method else ""
    print(f"\nstopgrad pretrain{wish} would choose:")
    for reason in chosen.reasons.values():
        print(f"  {reason}")
    from stopgrad.estimate import estimate

    print("\n".join(f"  {line}" for line in estimate(chosen.run, found.images)))
    wish += f" --labels {asked.labels}" if asked.labels != "auto" else ""
    bad = len(found.bad) - found.test_bad
    if share := needed_share(found.images, bad, Data.max_bad):
        print(f"{too_many(found.images, bad, Data.max_bad)}: mend or remove them, or go on without them as below")
        wish += f" --set data.max_bad={share}"
    print(f"next: stopgrad pretrain {shlex.quote(asked.images)}{wish}")
    return DONE


def bench(asked: Namespace) -> int:
    """``stopgrad bench``."""
    own = asked.recipe or ("demo" if asked.data == BUNDLED and asked.method is None else None)
    overrides, recipe = overrides_of(vars(asked), asked.overrides), recipe_name(own, asked.method)
    check(recipe, overrides, asked.data)
    splits = _splits(asked.data, overrides["data.labels"])
    with TemporaryDirectory() as nowhere:
        planned = plan(splits, asked.data, recipe, Path(nowhere) / "run", overrides, _has_gpu)
    from stopgrad.bench.measured import measured
    from stopgrad.device import pick_device

    for line in measured(planned.run, splits.train, pick_device(asked.device)):
        print(line, flush=True)
    return DONE


def pack(asked: Namespace) -> int:
    """``stopgrad pack``."""
    data = packing(asked.short_side, asked.channels, asked.as_files, asked.overrides)
    refuse_missing(asked.images)
    refuse_taken(asked.out)
    from stopgrad.images.kept import keep
    from stopgrad.images.pack import pack as write
    from stopgrad.images.residence import megabytes
    from stopgrad.images.sources import open_splits

    splits, progress = open_splits(asked.images, asked.labels), Progress()
    if asked.as_files:
        kept, bad = keep(splits, asked.out, data.max_bad, progress.count)
        parts, how = [(name, part.images, part.bytes) for name, part in kept.parts.items()], "files as they are"
    else:
        manifest, bad = write(splits, asked.out, data, asked.channels, progress.count)
        parts = [(name, part.images, part.bytes) for name, part in manifest.parts.items()]
        how = f"{manifest.channels} channel{'s' if manifest.channels > 1 else ''}, shorter side at most {manifest.short_side}"
    progress.close()
    if bad:
        print(f"set aside: {listed(bad)} (all in {asked.out / 'bad_images.jsonl'})")
    images = ", ".join(f"{count:,} to {name} on" for name, count, _ in parts)
    print(f"{asked.out}: images {images}; {how}, {megabytes(sum(size for *_, size in parts))}")
    print(f"next: stopgrad pretrain {shlex.quote(str(asked.out))}")
    return DONE


def evaluate(asked: Namespace) -> int:
    """``stopgrad evaluate``."""
    refuse_untrained(asked.run_directory)
    refuse_head(asked.run_directory, asked.head)
    if asked.data is not None:
        refuse_missing(asked.data)
    from stopgrad.images.opened import judged_images

    splits = judged_images(RunDirectory(asked.run_directory).read_config(), asked.run_directory, asked.data, asked.labels)
    from stopgrad.api import evaluate as judge
    from stopgrad.protocols.knn import Knn
    from stopgrad.protocols.lbfgs import Lbfgs
    from stopgrad.protocols.linear import LINEAR, Linear

    settings: dict[str, Knn | Lbfgs | Linear] = {
        "knn": Knn(k=asked.k, temperature=asked.temperature),
        "lbfgs": Lbfgs(),
        "linear": LINEAR[asked.settings],
    }
    protocols = [settings[name] for name in asked.protocol]
    records = judge(asked.run_directory, protocols, data=splits, features=asked.features, head=asked.head, device=asked.device, tell=print)
    print("\n".join(accuracies(records)))
    print(f"written to {asked.run_directory / 'evaluations.jsonl'}")
    print("\n".join(next_lines(asked.run_directory)))
    return DONE


def compare(asked: Namespace) -> int:
    """``stopgrad compare``."""
    from stopgrad.compare.command import compare as carry_out
    from stopgrad.compare.command import foreseen, shared

    for row in foreseen(asked):
        try:
            check(recipe_name(row.recipe, row.method), row.overrides, row.images, row.out)
        except UserError as error:
            raise UserError(f"{row.method}: {error}") from None
    splits = _splits(asked.images, shared(asked)["data.labels"])
    return carry_out(asked, splits, _has_gpu)


def report(asked: Namespace) -> int:
    """``stopgrad report``."""
    for run in asked.runs:
        refuse_no_run(run)
    refuse_place(asked.out, ".html")
    from stopgrad.report.page import write_report
    from stopgrad.thumbnails import thumbnails

    page = write_report(asked.runs, asked.out or RunDirectory(asked.runs[0]).report, thumbnails())
    print(f"written to {page}; open it in a browser")
    return DONE


def embed(asked: Namespace) -> int:
    """``stopgrad embed``."""
    refuse_untrained(asked.run_directory)
    refuse_missing(asked.images)
    refuse_place(asked.out, ".parquet")
    from stopgrad.api import embed as write

    written, count = write(asked.run_directory, asked.images, asked.out, labels=asked.labels, device=asked.device, tell=print)
    print(f"{count} embeddings written to {written}")
    if written.resolve() != (shown := asked.run_directory / "embeddings.parquet").resolve():
        print(f"the report shows {shown} only: without --out they go there")
    print("\n".join(next_lines(asked.run_directory)))
    return DONE


def export(asked: Namespace) -> int:
    """``stopgrad export``."""
    refuse_untrained(asked.run_directory, alone=True, target=asked.to)
    out = asked.out or asked.run_directory / EXPORTS[asked.to]
    refuse_existing(asked.to, out, asked.overwrite)
    from stopgrad.publish.export import export as write

    print("\n".join(write(backbone_file(asked.run_directory), asked.to, out, asked.overwrite)))
    return DONE


def demo(asked: Namespace) -> int:
    """``stopgrad demo``."""
    RunDirectory(asked.out).refuse_others()
    from stopgrad.demo import run

    return run(asked.out)


COMMANDS: dict[str, Callable[[Namespace], int]] = {
    "bench": bench,
    "compare": compare,
    "demo": demo,
    "embed": embed,
    "evaluate": evaluate,
    "export": export,
    "inspect": inspect_images,
    "methods": methods,
    "pack": pack,
    "pretrain": pretrain,
    "recipes": recipes,
    "report": report,
    "show": show,
}
